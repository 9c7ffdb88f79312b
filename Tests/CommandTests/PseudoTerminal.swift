import Foundation
import Testing

// In stdlib.h, which Swift's module of the C library reads without them.
@_silgen_name("unlockpt") private func unlockpt(_ end: Int32) -> Int32
@_silgen_name("ptsname_r") private func ptsname(_ end: Int32, _ name: UnsafeMutablePointer<CChar>, _ length: Int) -> Int32

/// A terminal that a process writes to, and the person before it.
final class PseudoTerminal {
    private(set) var screen: Screen
    private let end: Int32
    /// What the process writes to.
    let handle: FileHandle

    init(width: Int, height: Int) throws {
        screen = Screen(width: width, height: height)
        end = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(end >= 0 && unlockpt(end) == 0)
        var name = [CChar](repeating: 0, count: 64)
        try #require(ptsname(end, &name, name.count) == 0)
        let other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(other >= 0)
        handle = FileHandle(fileDescriptor: other, closeOnDealloc: true)
        _ = fcntl(end, F_SETFL, O_NONBLOCK)
        setSize()
    }

    deinit { close(end) }

    private func setSize() {
        var size = winsize(ws_row: UInt16(screen.height), ws_col: UInt16(screen.width), ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(end, UInt(TIOCSWINSZ), &size)
    }

    /// Changes the size while a process runs.
    func resize(width: Int, height: Int, breaksAnew: Bool) {
        screen.resize(width: width, height: height, breaksAnew: breaksAnew)
        setSize()
    }

    /// Shows what came since the last look.
    func look() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = read(end, &buffer, buffer.count), count > 0 { screen.feed(buffer.prefix(count)) }
    }

    /// Looks until something is to be seen; false if it never is.
    func shows(while process: Process, _ condition: (Screen) -> Bool) -> Bool {
        for _ in 0..<6000 {
            let isOver = !process.isRunning
            look()
            if condition(screen) { return true }
            if isOver { break }
            usleep(20_000)
        }
        return false
    }
}
