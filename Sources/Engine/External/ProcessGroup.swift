import Foundation
import Locking

/// A program in a process group of its own, so that it can be ended with everything that it started.
///
/// What leaves the group (a daemon, a child in a session of its own) is known by a variable of its environment.
final class ProcessGroup: Sendable {
    /// The name of the variable that all processes of a group have.
    static let mark = "UNDERSTUDY_PROGRAM"

    let pid: pid_t
    /// The variable's value.
    private let name: String
    /// The reading ends of its standard output and standard error.
    let output: FileHandle
    let errors: FileHandle
    /// The writing end of its standard input; nil: it has none, or it was closed.
    private let input: Locked<Int32?>
    private let hasEnded = Locked(false)
    /// The writing end of a pipe that nobody writes to: it ends with this process, however that ends, and then so does the group.
    private let life: Locked<Int32?>

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - command: The program (a path, or a name to look up in `PATH`) and its arguments.
    ///   - folder: Its working directory.
    ///   - environment: Its whole environment.
    ///   - takesInput: Whether something will be written to its standard input.
    ///   - memory: How many bytes of address space it may have; nil: as many as it likes.
    /// - Throws: ``StoreError`` with the reason when it cannot be started.
    init(_ command: [String], folder: String, environment: [String: String], takesInput: Bool = false, memory: Int? = nil) throws {
        Self.spawning.lock()
        defer { Self.spawning.unlock() }
        // (A UUID is the same for all when there is no file descriptor left to read randomness from.)
        name = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 36) }.joined()
        let (outReading, outWriting) = try Self.makePipe()
        output = FileHandle(fileDescriptor: outReading, closeOnDealloc: true)
        let (errReading, errWriting) = try Self.makePipe()
        errors = FileHandle(fileDescriptor: errReading, closeOnDealloc: true)
        // A socket, since writing to one whose reader died can be told not to raise SIGPIPE.
        let inputs = takesInput ? try Self.makeSockets() : nil
        input = Locked(inputs?.writing)
        let (lifeReading, lifeWriting) = try Self.makePipe()
        life = Locked(lifeWriting)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let inputs {
            posix_spawn_file_actions_adddup2(&actions, inputs.reading, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, outWriting, 1)
        posix_spawn_file_actions_adddup2(&actions, errWriting, 2)
        posix_spawn_file_actions_adddup2(&actions, lifeReading, 3)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setpgroup(&attributes, 0)
        var defaults = sigset_t()
        sigemptyset(&defaults)
        for signal in [SIGINT, SIGTERM, SIGPIPE, SIGXFSZ] { sigaddset(&defaults, signal) }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        // The shell leaves a watcher in the group, no child of the program's, that ends it and who left it when this process is gone;
        // then it takes the mark, changes the folder and becomes the program. (The watcher, which never took it, does not end itself. Nor
        // does it when the group is asked to end: this process may be gone before the group is.)
        let strays = "for f in $(grep -lszxF \(Self.mark)=\(name) /proc/[0-9]*/environ); do f=${f%/environ}; kill -KILL ${f#/proc/}; done"
        let watch = "( ( trap '' TERM; read -r end <&3; \(strays); kill -KILL 0 ) >/dev/null 2>&1 & ) ; exec 3<&-"
        let limit = memory.map { "ulimit -v \(max($0 / 1024, 1)) && " } ?? ""
        let shell = ["/bin/sh", "-c", "\(watch); \(limit)cd \"$0\" && export \(Self.mark)=\(name) && exec \"$@\"", folder] + command
        var arguments: [UnsafeMutablePointer<CChar>?] = shell.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, shell[0], &actions, &attributes, &arguments, &variables)
        close(outWriting)
        close(errWriting)
        close(lifeReading)
        if let inputs { close(inputs.reading) }
        guard code == 0 else {
            throw StoreError("cannot start '\(command[0])': \(String(cString: strerror(code)))")
        }
        pid = child
    }

    deinit {
        closeInput()
        closeLife()
    }

    private func closeLife() {
        life.withLock { life in
            if let life { close(life) }
            life = nil
        }
    }

    /// Held from the making of a pipe to the start of its program, so that no other program inherits its ends.
    private static let spawning = NSLock()

    private static func makePipe() throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw StoreError.system("cannot make a pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func makeSockets() throws -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw StoreError.system("cannot make a socket") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// Writes to its standard input; false when nobody reads there any more.
    func write(_ text: String) -> Bool {
        input.withLock { input in
            guard let input else { return false }
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { send(input, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }

    /// Ends its standard input.
    func closeInput() {
        input.withLock { input in
            if let input { close(input) }
            input = nil
        }
    }

    /// Sends a signal to the whole group.
    func signal(_ number: Int32) {
        hasEnded.withLock { ended in if !ended { _ = kill(-pid, number) } }
    }

    /// Ends what left the group, until a look at all processes finds none: one may start another meanwhile.
    private func endStrays() {
        let mark = Array("\(Self.mark)=\(name)".utf8)
        for _ in 0..<20 {
            let processes = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }
            let strays = processes.filter { process in
                guard process != getpid(), let environment = FileManager.default.contents(atPath: "/proc/\(process)/environ") else { return false }
                return environment.split(separator: 0).contains { $0.elementsEqual(mark) }
            }
            if strays.isEmpty { return }
            for process in strays { _ = kill(process, SIGKILL) }
            // Their memory is given back a moment later; until then they still have an environment.
            usleep(2000)
        }
    }

    /// Asks the group to end, and after a while makes it.
    func terminate(grace seconds: Double) {
        signal(SIGTERM)
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { self.signal(SIGKILL) }
    }

    /// How a program ended.
    enum Ending: Sendable, Equatable {
        case exit(Int32)
        case signal(Int32)
    }

    /// Waits for the program itself, then ends what it left behind.
    func wait() -> Ending {
        var information = siginfo_t()
        // First without reaping: as long as the dead program is there, its group's number cannot go to somebody else.
        while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        hasEnded.withLock { ended in
            _ = kill(-pid, SIGKILL)
            ended = true
        }
        closeLife()
        endStrays()
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7F
        return signal == 0 ? .exit((status >> 8) & 0xFF) : .signal(signal)
    }

    /// Reads a stream line by line until it closes; a line is cut at so many bytes, so that garbage without line breaks does not grow.
    ///
    /// - Parameter limit: Nil: 64 KiB.
    static func readLines(_ handle: FileHandle, limit: Int? = nil, _ body: (String) -> Void) {
        let limit = limit ?? 1 << 16
        var line: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        func flush() {
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            body(String(decoding: line, as: UTF8.self))
            line.removeAll(keepingCapacity: true)
        }
        while true {
            let count = read(handle.fileDescriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            for byte in buffer[..<count] {
                if byte == UInt8(ascii: "\n") || line.count >= limit { flush() }
                if byte != UInt8(ascii: "\n") { line.append(byte) }
            }
        }
        if !line.isEmpty { flush() }
    }
}
