import Dispatch
import Foundation
import GraphKit
import Locking
import NodeKit

/// Nodes that work on frames one by one run side by side, without files between them: the first one's task holds the budget for
/// all, and the others' results lie ready when their turn comes, since only then their inputs' digests and so their keys are known.
extension Execution {
    /// What an instance made out of a stream.
    struct Staged: Sendable {
        let outputs: [String: OutputSink.Written]
        let seconds: Double
        let memory: PeakMemory?
    }

    /// Nodes that run side by side.
    final class StreamGroup: Sendable {
        struct Member: Sendable {
            let instance: InstanceID
            let stream: FrameStream
            let result: Result<Staged, any Error>
        }

        let task: Scheduler.Task
        /// Stops all of them.
        let cancellation: Cancellation
        let turns: WorkTurns
        let running = DispatchGroup()
        let members = Locked<[Member]>([])
        let streamed = Locked<Set<InstanceID>>([])

        init(task: Scheduler.Task, threads: Int, cancellation: Cancellation) {
            self.task = task
            self.cancellation = cancellation
            turns = WorkTurns(threads)
        }
    }

    /// A node that is to take frames while they are made.
    private struct Taker {
        let node: GraphNode
        let instance: InstanceID
        let definition: NodeDefinition
        let input: String
        let inputs: [String: [Artifact]]
        /// Who makes the frames.
        let source: String
    }

    // MARK: - On a worker

    /// What a running instance may ask when it is about to write frames; nil when nobody could take them.
    func offer(of instance: InstanceID, _ group: StreamGroup, _ share: WorkTurns.Share) -> OutputSink.Offer? {
        guard streamEdges.edges[instance.node] != nil, instance.index == nil, !streamsAreOff.withLock({ $0 }) else { return nil }
        return { [self] port, format in
            guard format.byteCount > options.streamsAbove else { return nil }
            let takers = queue.sync { self.takers(of: instance, port: port, group) }
            guard !takers.isEmpty else { return nil }
            let shares = takers.map { taker in
                let isWide = taker.definition.description.cost.threads == .all
                return group.turns.share(isWide ? max(1, group.turns.count - takers.count) : 1)
            }
            let stream = FrameStream(format: format, maker: share, readers: shares)
            group.streamed.withLock { _ = $0.insert(instance) }
            for (index, reader) in stream.readers.enumerated() {
                group.running.enter()
                // A thread of its own: it waits much, and a queue is slow to add threads for those that wait.
                let thread = Thread {
                    self.run(takers[index], reader, shares[index], group)
                    group.running.leave()
                }
                thread.stackSize = 8 << 20
                thread.start()
            }
            return stream
        }
    }

    private func run(_ taker: Taker, _ reader: FrameStream.Reader, _ share: WorkTurns.Share, _ group: StreamGroup) {
        share.take()
        defer {
            reader.leave()
            share.give()
        }
        let instance = taker.instance
        let folder = "\(temporaryFolder)/\(group.task)-\(instance)"
        let begin = DispatchTime.now()
        let span = MemoryMeter.shared.begin()
        let result = Result<Staged, any Error> {
            emitter.send(
                .started(instance, type: taker.node.type.name, threads: share.count, reasons: [.dependsOn([taker.source])]))
            let log = NodeLog(path: logPath(instance))
            let (emitter, cancellation) = (emitter, group.cancellation)
            let context = NodeContext(
                threads: share.count, scratch: "\(folder)/scratch",
                progress: { emitter.progress(instance, $0) },
                log: { line in
                    log.write(line)
                    emitter.send(.log(instance, line: line))
                },
                isCancelled: { cancellation.isCancelled || reader.stream.failed })
            let sink = OutputSink(
                folder: folder, syncs: false, inlineLimit: store.inlineLimit, threads: share.count, offer: offer(of: instance, group, share))
            var inputs = try store.read { reader in
                try taker.inputs.mapValues { list in try list.map(reader.opened) }
            }
            let type = taker.definition.description.input(taker.input)?.type ?? .video
            inputs[taker.input] = [Artifact(type: type, path: "\(folder)/\(taker.input)", digest: Digest.of(""), stream: reader)]
            try taker.definition.run(
                NodeInvocation(inputs: inputs, parameters: taker.node.parameters, outputs: sink, context: context))
            try checkOutputs(sink.results, of: taker.definition.description)
            let seconds = Double(DispatchTime.now().uptimeNanoseconds - begin.uptimeNanoseconds) * 1e-9
            return Staged(outputs: sink.results, seconds: seconds, memory: nil)
        }
        let memory = MemoryMeter.shared.end(span)
        let measured = result.map { Staged(outputs: $0.outputs, seconds: $0.seconds, memory: memory) }
        group.members.withLock { $0.append(.init(instance: instance, stream: reader.stream, result: measured)) }
    }

    /// Waits for all that took frames of a task, and keeps what they made for when its turn comes.
    ///
    /// - Throws: ``BrokenStream`` when a stream did not hold what it promised: then nothing is streamed any more in this run.
    func settle(_ group: StreamGroup, _ share: WorkTurns.Share, _ result: Result<Void, any Error>) throws {
        share.give()
        group.running.wait()
        let members = group.members.withLock { $0 }
        func isBroken(_ result: Result<some Any, any Error>) -> Bool {
            if case .failure(let error) = result { error is BrokenStream } else { false }
        }
        if isBroken(result) || members.contains(where: { isBroken($0.result) || $0.stream.wasMisread }) {
            streamsAreOff.withLock { $0 = true }
            throw BrokenStream()
        }
        let names = group.streamed.withLock { $0 }
        guard case .success = result, !names.isEmpty else { return }
        // A taker whose maker failed saw what was never there.
        let whole = members.filter { !$0.stream.failed && !group.cancellation.isCancelled }
        queue.sync {
            for member in whole { staged[member.instance] = member.result }
            // Those whose result is dropped run again, and store it.
            let dropped = Set(members.map(\.instance)).subtracting(whole.map(\.instance))
            streamed.formUnion(names.subtracting(dropped))
        }
    }

    // MARK: - On the queue

    /// The nodes that can take what an instance is about to make; empty when it has to be stored.
    private func takers(of maker: InstanceID, port: String, _ group: StreamGroup) -> [Taker] {
        var result: [Taker] = []
        for edge in streamEdges.edges[maker.node] ?? [] {
            let instance = InstanceID(node: edge.consumer.id)
            guard let task = demands[.instance(instance)] ?? nodeTasks[edge.consumer.id] else { return [] }
            switch scheduler.state(task) {
            case .done, .failed, .skipped: continue
            // It takes over what another one makes.
            case .blocked where sharing.contains(task): continue
            case .blocked: break
            default: return []
            }
            guard edge.output == port, let definition = engine.catalogue[edge.consumer.type] else { return [] }
            var inputs: [String: [Artifact]] = [:]
            for (name, feeds) in state.feeds(of: edge.consumer, instance) where name != edge.input {
                var artifacts: [Artifact] = []
                for feed in feeds {
                    guard let artifact = feed.artifact, feed.source.map({ !state.absent.contains($0) }) ?? true else { return [] }
                    artifacts.append(artifact)
                }
                inputs[name] = artifacts
            }
            result.append(
                Taker(node: edge.consumer, instance: instance, definition: definition, input: edge.input, inputs: inputs, source: maker.node))
        }
        let memory = result.reduce(0) { $0 + $1.definition.description.cost.memory }
        guard !result.isEmpty, let more = scheduler.widen(group.task, threads: result.count, memory: memory) else { return [] }
        group.turns.add(more)
        // Its frames will not be there afterwards: nobody has a use for it if the takers are stopped.
        running[group.task]?.key = nil
        return result
    }
}
