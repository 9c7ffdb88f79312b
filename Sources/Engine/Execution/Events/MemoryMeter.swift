import Dispatch
import Foundation
import Locking

/// The most memory that was resident while an instance ran.
public struct PeakMemory: Sendable, Hashable, Codable {
    /// Of this whole process, mapped files included; of an external node: of its program and what that started.
    public let bytes: Int64
    /// Whether other nodes ran in this process at the same time, so that part of it may be theirs.
    public let isShared: Bool

    public init(bytes: Int64, isShared: Bool) {
        self.bytes = bytes
        self.isShared = isShared
    }
}

/// Watches how much memory running nodes take.
///
/// Memory is sampled, fifty times a second; a node during which the process holds more than ever before gets the kernel's own
/// high-water mark. (That mark could be reset for every node, but then whoever measures the program from outside is misled.)
/// There is one meter, as there is one process.
final class MemoryMeter: Sendable {
    static let shared = MemoryMeter()

    /// A running node.
    struct Span {
        fileprivate let id: Int
    }

    private struct State {
        struct Running {
            var peak = 0
            var isAlone = true
            /// The process's high-water mark when it started, as far as it was known.
            var highWater = 0
            /// The program of an external node.
            var program: pid_t?
            let begin = DispatchTime.now()
            /// Whether the program does nothing before or after.
            var isFresh = true
        }

        var running: [Int: Running] = [:]
        var next = 0
        var isSampling = false
        /// What the process held when it was last asked for, in bytes, and when that was.
        var resident = 0
        var residentAt: UInt64 = 0
        /// The process's high-water mark when it was last asked for, in bytes.
        var highWater = 0
    }

    private let state = Locked(State())
    private let queue = DispatchQueue(label: "understudy.memory", qos: .userInteractive)
    /// Between two samples.
    private static let interval = DispatchTimeInterval.milliseconds(20)
    /// A node that takes less than this, in nanoseconds, cannot have taken much.
    private static let blink: UInt64 = 2_000_000

    private init() {}

    /// A node starts in this process.
    func begin() -> Span {
        state.withLock { state in
            let inProcess = state.running.filter { $0.value.program == nil }.keys
            for id in inProcess { state.running[id]?.isAlone = false }
            let begin = DispatchTime.now().uptimeNanoseconds
            if begin - state.residentAt > Self.blink { (state.resident, state.residentAt) = (Self.resident(), begin) }
            let resident = state.resident
            if state.highWater == 0 { state.highWater = Self.status("self").highWater }
            state.highWater = max(state.highWater, resident)
            state.next += 1
            state.running[state.next] = .init(peak: resident, isAlone: inProcess.isEmpty, highWater: state.highWater)
            if !state.isSampling { queue.asyncAfter(deadline: .now() + Self.interval) { self.tick() } }
            state.isSampling = true
            return Span(id: state.next)
        }
    }

    /// The node's work is done by a program: from here on its memory counts, not this process's.
    ///
    /// - Parameter isFresh: Whether the program was started for this node alone.
    func follow(_ program: pid_t, isFresh: Bool, for span: Span) {
        state.withLock { state in
            state.running[span.id]?.isFresh = isFresh
            state.running[span.id]?.program = program
            state.running[span.id]?.peak = 0
            state.running[span.id]?.isAlone = true
        }
    }

    /// The node is done; nil where the system does not say.
    func end(_ span: Span) -> PeakMemory? {
        let now = DispatchTime.now().uptimeNanoseconds
        let isBlink = state.withLock { $0.running[span.id].map { $0.program == nil && now - $0.begin.uptimeNanoseconds < Self.blink } ?? true }
        if !isBlink { sample() }
        return state.withLock { state in
            guard let running = state.running.removeValue(forKey: span.id) else { return nil }
            var peak = running.peak
            // What the kernel can say cheaply is the mark, or more where this process began as a copy of a larger one.
            if running.program == nil, !isBlink, Self.upperMark() > running.highWater {
                let mark = Self.status("self").highWater
                state.highWater = max(state.highWater, mark)
                if mark > running.highWater { peak = max(peak, mark) }
            }
            return peak > 0 ? PeakMemory(bytes: Int64(peak), isShared: !running.isAlone) : nil
        }
    }

    /// Samples for as long as something runs.
    private func tick() {
        sample()
        let goesOn = state.withLock { state in
            state.isSampling = !state.running.isEmpty
            return state.isSampling
        }
        if goesOn { queue.asyncAfter(deadline: .now() + Self.interval) { self.tick() } }
    }

    private func sample() {
        state.withLock { state in
            let own = Self.resident()
            (state.resident, state.residentAt) = (own, DispatchTime.now().uptimeNanoseconds)
            for (id, running) in state.running {
                let now = running.program.map { Self.tree($0, running.isFresh) } ?? own
                state.running[id]?.peak = max(running.peak, now)
            }
        }
    }

    // MARK: - The kernel's numbers

    /// What this process holds now, in bytes; 0 when the system does not say.
    private static func resident() -> Int {
        var buffer: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
        return withUnsafeMutableBytes(of: &buffer) { bytes in
            let count = pread(ownPages, bytes.baseAddress, bytes.count, 0)
            // Pages in all, pages resident, …
            let fields = bytes.prefix(max(count, 0)).split(separator: UInt8(ascii: " "))
            guard fields.count > 1 else { return 0 }
            return fields[1].reduce(0) { $0 * 10 + Int($1) - 48 } * pageSize
        }
    }

    /// At least the process's high-water mark, in bytes.
    private static func upperMark() -> Int {
        var usage = rusage()
        return getrusage(.init(RUSAGE_SELF.rawValue), &usage) == 0 ? Int(usage.ru_maxrss) * 1024 : .max
    }

    private static let ownPages = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    private static let pageSize = Int(getpagesize())

    /// What `/proc` says of a process, in bytes; zeros when it is gone.
    private static func status(_ process: String) -> (resident: Int, highWater: Int) {
        guard let text = read("/proc/\(process)/status") else { return (0, 0) }
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"))
        func value(_ key: String) -> Int {
            guard let line = lines.first(where: { $0.starts(with: key.utf8) }) else { return 0 }
            return line.reduce(0) { (48...57).contains($1) ? $0 * 10 + Int($1) - 48 : $0 } * 1024
        }
        return (value("VmRSS:"), value("VmHWM:"))
    }

    /// What a program and all that it started hold now; of one that runs for this node only, at least what it once held.
    private static func tree(_ root: pid_t, _ isFresh: Bool) -> Int {
        var total = 0
        var queue = [root]
        while let pid = queue.popLast() {
            total += status("\(pid)").resident
            for thread in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? [] {
                queue += (read("/proc/\(pid)/task/\(thread)/children") ?? "").split(separator: " ").compactMap { pid_t($0) }
            }
        }
        return isFresh ? max(total, status("\(root)").highWater) : total
    }

    /// A small file of `/proc`, whose size is not known beforehand.
    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = Foundation.read(descriptor, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }
}
