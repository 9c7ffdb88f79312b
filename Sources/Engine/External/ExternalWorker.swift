import Dispatch
import Foundation
import Locking

/// A program that stays between instances of its node: it gets requests on standard input, one at a time, and answers each.
final class ExternalWorker: Sendable {
    /// How a request came back.
    enum Answer: Sendable, Equatable {
        case done
        case failed(String)
        /// The program ended instead of answering.
        case ended(ProcessGroup.Ending)
        /// It answered in a way that nobody can rely on; says how.
        case unusable(String)
    }

    /// Who listens to the program now.
    private struct Listener {
        var output: @Sendable (String) -> Void
        var errors: @Sendable (String) -> Void
        /// The request's path, which its answer names.
        let request: String
        var answer: Answer?
        let answered = DispatchSemaphore(value: 0)
    }

    let process: ProcessGroup
    private let listener = Locked<Listener?>(nil)
    private let ending = Locked<ProcessGroup.Ending?>(nil)
    private let over = DispatchGroup()
    /// Whether it answered twice or what it was not asked, so that it gets no other request.
    private let isConfused = Locked(false)
    /// Requests that were answered.
    private let answeredRequests = Locked<Set<String>>([])

    /// Starts the program.
    ///
    /// - Parameter memory: How many bytes of address space it may have; nil: as many as it likes.
    init(_ command: [String], folder: String, environment: [String: String], memory: Int? = nil) throws {
        process = try ProcessGroup(command, folder: folder, environment: environment, takesInput: true, memory: memory)
        let readers = DispatchGroup()
        over.enter()
        for (handle, isOutput) in [(process.output, true), (process.errors, false)] {
            readers.enter()
            Thread.detachNewThread {
                ProcessGroup.readLines(handle, limit: isOutput ? Self.longestLine : nil) { self.heard($0, isOutput: isOutput) }
                readers.leave()
                // Its end is told by who waits for it; as long as it lives it cannot answer any more.
                guard isOutput, self.over.wait(timeout: .now() + 1) == .timedOut else { return }
                self.isConfused.withLock { $0 = true }
                self.answer(.unusable("it closed its standard output, on which it answers"))
            }
        }
        Thread.detachNewThread {
            let ending = self.process.wait()
            // What it said last belongs to the answer; somebody who cannot be ended may hold a pipe open for ever.
            _ = readers.wait(timeout: .now() + 5)
            self.ending.withLock { $0 = ending }
            self.answer(.ended(ending))
            self.over.leave()
        }
    }

    var hasEnded: Bool { ending.withLock { $0 != nil } }

    /// Whether it may get another request.
    var isUsable: Bool { !hasEnded && !isConfused.withLock { $0 } }

    /// A line on standard output may have so many bytes: an error may be long.
    private static let longestLine = 1 << 22

    /// Hands the program a request and waits for the answer.
    ///
    /// - Parameters: As of ``ExternalProgram/run(_:folder:environment:cancellation:timeout:grace:memory:started:output:errors:)``.
    /// - Returns: Nil when it could not take the request, because it is gone.
    /// - Throws: `CancellationError` when it was cancelled, ``NodeError`` when it took too long; the program is ended then.
    func run(
        request: String, cancellation: Cancellation, timeout: Double?, grace: Double,
        output: @escaping @Sendable (String) -> Void, errors: @escaping @Sendable (String) -> Void
    ) throws -> Answer? {
        if cancellation.isCancelled { throw CancellationError() }
        let current = Listener(output: output, errors: errors, request: request)
        listener.withLock { $0 = current }
        let line = JSON.text(["run": request]) + "\n"
        guard !hasEnded, process.write(line) else { return nil }
        let token = cancellation.onCancel { self.process.terminate(grace: grace) }
        defer { cancellation.removeHandler(token) }
        let limit = timeout.map { DispatchTime.now() + $0 } ?? .distantFuture
        let isTooSlow = current.answered.wait(timeout: limit) == .timedOut
        if isTooSlow {
            process.terminate(grace: grace)
            current.answered.wait()
        }
        if cancellation.isCancelled { throw CancellationError() }
        if isTooSlow, let timeout { throw ExternalProgram.tooSlow(timeout) }
        return listener.withLock { $0?.answer }
    }

    /// Ends the program with its children. One that is idle is asked to by the end of its input.
    ///
    /// - Returns: How it ended.
    @discardableResult
    func end() -> ProcessGroup.Ending {
        process.closeInput()
        if over.wait(timeout: .now() + 1) == .timedOut { process.signal(SIGKILL) }
        over.wait()
        return ending.withLock { $0 } ?? .signal(SIGKILL)
    }

    private func heard(_ line: String, isOutput: Bool) {
        if isOutput {
            switch ExternalMessage(line) {
            case .answer(let run, let failure): return answered(run, failure, line)
            case .garbled: return answer(.unusable("its answer is not one: \(Self.quoted(line))"))
            default: break
            }
        }
        let current = listener.withLock { $0 }
        if isOutput { current?.output(line) } else { current?.errors(line) }
    }

    private func answered(_ run: String?, _ failure: String?, _ line: String) {
        let asked = listener.withLock { $0?.answer == nil ? $0?.request : nil }
        if let run, run == asked {
            answeredRequests.withLock { _ = $0.insert(run) }
            return answer(failure.map { .failed($0) } ?? .done)
        }
        isConfused.withLock { $0 = true }
        // Once more what it has answered: not what it is asked now.
        if let run, answeredRequests.withLock({ $0.contains(run) }) { return }
        let hint = #"{"done": true, "run": "…"}"#
        answer(.unusable(run == nil ? "its answer does not name the request, as \(hint) would: \(Self.quoted(line))" : "it answered another request than it was given: \(Self.quoted(line))"))
    }

    private static func quoted(_ line: String) -> String { line.count > 200 ? "\(line.prefix(200))…" : line }

    private func answer(_ answer: Answer) {
        listener.withLock { listener in
            guard let current = listener, current.answer == nil else { return }
            listener?.answer = answer
            current.answered.signal()
        }
    }
}

/// The workers of a run: as many of a kind as run at once, kept for the next instance, ended with the run.
final class ExternalWorkers: Sendable {
    private struct Idle {
        let worker: ExternalWorker
        /// Bytes that it may still hold.
        let memory: Int
    }

    private let idle = Locked<[String: [Idle]]>([:])

    /// Runs a request on a worker that is free, or on a new one.
    ///
    /// - Parameters:
    ///   - kind: Workers of one kind are alike: program, environment, threads.
    ///   - memory: Bytes that an instance is reckoned to take.
    ///   - start: Starts one.
    ///   - body: Gives the request to it; nil when that worker was gone already.
    /// - Throws: What `start` and `body` throw.
    func run(
        kind: String, memory: Int, start: () throws -> ExternalWorker, body: (ExternalWorker) throws -> ExternalWorker.Answer?
    ) throws -> ExternalWorker.Answer {
        while true {
            let waiting = idle.withLock { $0[kind]?.popLast()?.worker }
            if let waiting, !waiting.isUsable {
                waiting.end()
                continue
            }
            let worker = try waiting ?? start()
            do {
                let answer = try body(worker)
                if answer == .done {
                    idle.withLock { $0[kind, default: []].append(Idle(worker: worker, memory: memory)) }
                } else {
                    // After an error nobody knows what state it is in.
                    let ending = worker.end()
                    // One that was gone before it was asked is no failure of this instance, unless a fresh one does the same.
                    if answer == nil, waiting == nil { return .ended(ending) }
                }
                if let answer { return answer }
            } catch {
                worker.end()
                throw error
            }
        }
    }

    /// Ends workers that are free until those left hold no more than so many bytes: what they hold is in nobody's budget.
    ///
    /// - Parameter kind: The beginning of the name of a kind of which one is about to be used.
    func makeRoom(_ bytes: Int, keeping kind: String?) {
        end { workers in
            // One of its own kind is in the budget of who is about to use it.
            let own = kind.flatMap { kind in workers.keys.sorted().first { $0.hasPrefix(kind) && workers[$0]?.isEmpty == false } }
            let kept = own.flatMap { workers[$0]?.popLast() }
            defer { if let own, let kept { workers[own]?.append(kept) } }
            var held = workers.values.joined().reduce(0) { $0 + $1.memory }
            var over: [ExternalWorker] = []
            for name in workers.keys.sorted(by: { ($0 == own ? 1 : 0, $0) < ($1 == own ? 1 : 0, $1) }) {
                while held > bytes, let next = workers[name]?.popLast() {
                    held -= next.memory
                    over.append(next.worker)
                }
            }
            return over
        }
    }

    /// Ends all that are free.
    func end() {
        end { workers in
            defer { workers = [:] }
            return workers.values.flatMap { $0.map(\.worker) }
        }
    }

    private func end(_ choose: (inout [String: [Idle]]) -> [ExternalWorker]) {
        let workers = idle.withLock { choose(&$0) }
        for worker in workers { worker.process.closeInput() }
        for worker in workers { worker.end() }
    }

    deinit { end() }
}
