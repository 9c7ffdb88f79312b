import Dispatch
import Foundation
import Locking
import NodeKit

/// Runs a program to its end, handing on what it says.
enum ExternalProgram {
    /// - Parameters:
    ///   - started: Gets the program's process.
    ///   - output: Gets each line of standard output, one at a time; `errors` those of standard error. The two may be called at once.
    ///   - timeout: In seconds.
    ///   - grace: Seconds between being asked to end and being made to.
    ///   - memory: How many bytes of address space it may have; nil: as many as it likes.
    /// - Returns: How it ended; by a signal when it was cancelled or too slow.
    /// - Throws: ``StoreError`` when it cannot be started, `CancellationError` when it was cancelled, ``NodeError`` when it took
    ///   longer than `timeout`.
    static func run(
        _ command: [String], folder: String, environment: [String: String], cancellation: Cancellation, timeout: Double?,
        grace: Double = 2, memory: Int? = nil, started: (pid_t) -> Void = { _ in }, output: @escaping @Sendable (String) -> Void,
        errors: @escaping @Sendable (String) -> Void
    ) throws -> ProcessGroup.Ending {
        if cancellation.isCancelled { throw CancellationError() }
        let process = try ProcessGroup(command, folder: folder, environment: environment, memory: memory)
        started(process.pid)
        let token = cancellation.onCancel { process.terminate(grace: grace) }
        defer { cancellation.removeHandler(token) }
        let readers = DispatchGroup()
        for (handle, body) in [(process.output, output), (process.errors, errors)] {
            readers.enter()
            Thread.detachNewThread {
                ProcessGroup.readLines(handle, limit: handle === process.output ? 1 << 22 : nil, body)
                readers.leave()
            }
        }
        let tooSlow = Locked(false)
        let timer = DispatchWorkItem {
            tooSlow.withLock { $0 = true }
            process.terminate(grace: grace)
        }
        if let timeout { DispatchQueue.global().asyncAfter(deadline: .now() + timeout, execute: timer) }
        let ending = process.wait()
        timer.cancel()
        // Somebody who cannot be ended may keep a pipe open for ever: what it says then is not waited for.
        _ = readers.wait(timeout: .now() + 5)
        if cancellation.isCancelled { throw CancellationError() }
        if tooSlow.withLock({ $0 }), let timeout { throw Self.tooSlow(timeout) }
        return ending
    }

    static func tooSlow(_ timeout: Double) -> NodeError {
        NodeError(
            "it took longer than its timeout of \(ParameterLiteral.number(timeout).canonical) s and was ended; raise 'timeout' in its node.yaml, or give it less to do")
    }
}
