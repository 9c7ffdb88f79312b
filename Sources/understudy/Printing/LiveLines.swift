import Foundation

/// Lines below the output that are drawn again and again.
///
/// The cursor rests at the start of the first one. A terminal that changes its size keeps it there, whether it breaks lines anew (as most
/// do) or not, so all that is drawn can be erased without knowing how many rows it takes by now.
struct LiveLines {
    private var isDrawn = false
    /// From the second column, then the first: tmux keeps what is erased from the corner of the screen on, above it.
    private static let erasing = "\r\u{1B}[C\u{1B}[J\r\u{1B}[K"

    /// Draws in place of what is there; a line ends at the edge of the screen, even of one that has just become narrower.
    mutating func draw(_ lines: [String]) {
        erase()
        guard !lines.isEmpty else { return }
        let up = lines.count > 1 ? "\u{1B}[\(lines.count - 1)A" : ""
        print("\u{1B}[?7l" + lines.joined(separator: "\n") + "\r" + up + "\u{1B}[?7h", terminator: "")
        isDrawn = true
    }

    mutating func erase() {
        guard isDrawn else { return }
        print(Self.erasing, terminator: "")
        isDrawn = false
    }

    /// Whoever draws has it.
    private static let turn = NSLock()

    /// Runs what draws, unless the program is about to end at once.
    static func inTurn(_ body: () -> Void) { turn.withLock(body) }

    /// Erases what any may have drawn, before the program ends at once; does not wait for a terminal that takes nothing.
    static func abandon() {
        // Never given back: nothing is drawn any more.
        guard turn.lock(before: Date(timeIntervalSinceNow: 0.2)) else { return }
        var polled = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
        guard Terminal.output.isInteractive, poll(&polled, 1, 0) > 0 else { return }
        _ = erasing.withCString { write(STDOUT_FILENO, $0, strlen($0)) }
    }
}
