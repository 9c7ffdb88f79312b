import Dispatch
import Foundation

/// Ctrl-C and SIGTERM: the first asks a run to stop, a second ends the program at once.
///
/// The handler itself sees to it that the second does: queues may stand still, for instance where no thread can be made for them.
final class StopSignals {
    private static let numbers = [SIGINT, SIGTERM]
    private let source: any DispatchSourceRead

    /// - Parameter request: Called on the first signal, from some queue.
    /// - Throws: ``Failure`` when the system gives no pipe.
    init(_ request: @escaping @Sendable () -> Void) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else {
            throw Failure.node("error: cannot make a pipe: \(String(cString: strerror(errno)))")
        }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        let (reading, writing) = (ends[0], ends[1])
        (wakes, wasStopped, isEnding) = (writing, false, false)
        source = DispatchSource.makeReadSource(fileDescriptor: reading, queue: .global())
        source.setEventHandler {
            var bytes: (UInt8, UInt8) = (0, 0)
            let count = read(reading, &bytes, 2)
            guard count > 0 else { return }
            if bytes.0 == 0 { request() }
            // A number above 0 in either place: that of a later signal.
            guard bytes.0 != 0 || count > 1 else { return }
            LiveLines.abandon()
            _exit(130)
        }
        source.setCancelHandler {
            close(reading)
            close(writing)
        }
        source.resume()
        Self.handle([SIGALRM], by: { _ in _exit(130) })
        Self.handle(Self.numbers, by: stop)
        // Whoever started the program may have had them blocked, as the queues of Dispatch have.
        var unblocked = sigset_t()
        sigemptyset(&unblocked)
        for number in Self.numbers + [SIGALRM] { sigaddset(&unblocked, number) }
        pthread_sigmask(SIG_UNBLOCK, &unblocked, nil)
    }

    /// From now on a signal ends the program in the usual way.
    func cancel() {
        for number in Self.numbers { signal(number, SIG_DFL) }
        wakes = -1
        source.cancel()
    }

    private static func handle(_ numbers: [Int32], by handler: @escaping @convention(c) (Int32) -> Void) {
        var action = sigaction()
        sigemptyset(&action.sa_mask)
        action.__sigaction_handler.sa_handler = handler
        action.sa_flags = SA_RESTART
        for number in Self.numbers { sigaddset(&action.sa_mask, number) }
        for number in numbers { sigaction(number, &action, nil) }
    }
}

/// Safe: touched by the signals' handler, which nothing but another signal interrupts, and else only while there is none.
private nonisolated(unsafe) var wakes: Int32 = -1
private nonisolated(unsafe) var wasStopped = false
private nonisolated(unsafe) var isEnding = false

/// Waits for nothing and allocates nothing: a signal's handler may not.
private func stop(_ number: Int32) {
    let before = errno
    var byte: UInt8 = wasStopped ? 1 : 0
    // The queue that is to end the program has a second for it, whatever comes meanwhile.
    if wasStopped, !isEnding {
        isEnding = true
        alarm(1)
    }
    wasStopped = true
    _ = write(wakes, &byte, 1)
    errno = before
}
