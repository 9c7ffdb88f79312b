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
    }

    /// Who listens to the program now.
    private struct Listener {
        var output: @Sendable (String) -> Void
        var errors: @Sendable (String) -> Void
        var answer: Answer?
        let answered = DispatchSemaphore(value: 0)
    }

    let process: ProcessGroup
    private let listener = Locked<Listener?>(nil)
    private let ending = Locked<ProcessGroup.Ending?>(nil)
    private let over = DispatchGroup()

    /// Starts the program.
    ///
    /// - Parameter memory: How many bytes of address space it may have; nil: as many as it likes.
    init(_ command: [String], folder: String, environment: [String: String], memory: Int? = nil) throws {
        process = try ProcessGroup(command, folder: folder, environment: environment, takesInput: true, memory: memory)
        let readers = DispatchGroup()
        for (handle, isOutput) in [(process.output, true), (process.errors, false)] {
            readers.enter()
            Thread.detachNewThread {
                ProcessGroup.readLines(handle) { self.heard($0, isOutput: isOutput) }
                readers.leave()
            }
        }
        over.enter()
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
        let current = Listener(output: output, errors: errors)
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
            case .done: return answer(.done)
            case .failed(let text): return answer(.failed(text))
            default: break
            }
        }
        let current = listener.withLock { $0 }
        if isOutput { current?.output(line) } else { current?.errors(line) }
    }

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
    private let idle = Locked<[String: [ExternalWorker]]>([:])

    /// Runs a request on a worker that is free, or on a new one.
    ///
    /// - Parameters:
    ///   - kind: Workers of one kind are alike: program, environment, threads.
    ///   - start: Starts one.
    ///   - body: Gives the request to it; nil when that worker was gone already.
    /// - Throws: What `start` and `body` throw.
    func run(
        kind: String, start: () throws -> ExternalWorker, body: (ExternalWorker) throws -> ExternalWorker.Answer?
    ) throws -> ExternalWorker.Answer {
        while true {
            let waiting = idle.withLock { $0[kind]?.popLast() }
            let worker = try waiting ?? start()
            do {
                let answer = try body(worker)
                if answer == .done {
                    idle.withLock { $0[kind, default: []].append(worker) }
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

    /// Ends all that are free.
    func end() {
        let workers = idle.withLock { workers in
            defer { workers = [:] }
            return workers.values.flatMap { $0 }
        }
        for worker in workers { worker.process.closeInput() }
        for worker in workers { worker.end() }
    }

    deinit { end() }
}
