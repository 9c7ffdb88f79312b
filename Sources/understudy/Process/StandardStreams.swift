@preconcurrency import Foundation

/// Standard input, output and errors, as whoever started the program gave them.
enum StandardStreams {
    /// Opens those that were not given: else the next file would get their number, and what is printed would go into it. A file that
    /// may not grow further (`ulimit -f`) gives an error instead of ending the program without a word.
    static func prepare() {
        signal(SIGXFSZ, SIG_IGN)
        for number in Int32(0)...2 where fcntl(number, F_GETFD) < 0 { _ = open("/dev/null", O_RDWR) }
    }

    /// Whether all that was printed so far could be written.
    static var isWritten: Bool { fflush(stdout) == 0 && ferror(stdout) == 0 }
}
