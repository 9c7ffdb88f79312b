import Foundation
import WholeFiles

/// How many threads may be made.
enum Threads {
    /// What a run takes besides those that compute: its queues, readers of a program's streams, FFmpeg's own.
    private static let besides = 12
    /// A limit of so many processes leaves enough for any machine.
    private static let ample = 4096

    /// Checks that a run will get its threads, where a limit is set: Dispatch waits for one that it does not get for ever.
    ///
    /// - Throws: ``Failure`` with the remedy.
    static func prepare() throws {
        let (isFew, isNarrow, isContained) = (mayHaveFew, SystemReason.hasLimit(RLIMIT_AS), containerLimit.map { $0 < ample } ?? false)
        // To try takes some 20 µs a thread.
        guard isFew || isNarrow || isContained else { return }
        let needed = besides + 2 * ProcessInfo.processInfo.activeProcessorCount
        let count = make(needed)
        guard count < needed else { return }
        var limits: [String] = []
        if isFew { limits.append("of processes (ulimit -u)") }
        if isNarrow { limits.append("of address space (ulimit -v)") }
        if isContained { limits.append("of the container's processes (pids.max)") }
        throw Failure.node(
            "error: this process may make no more than \(count) threads, and takes \(needed); raise the limit \(limits.joined(separator: " or "))")
    }

    private static var mayHaveFew: Bool {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(UInt32(__RLIMIT_NPROC.rawValue)), &limit) == 0 && limit.rlim_cur < ample
    }

    /// The limit of the control group that is the root of what this process sees; nil where it has none.
    private static var containerLimit: Int? {
        guard let file = OpenFile(descriptor: open("/sys/fs/cgroup/pids.max", O_RDONLY | O_CLOEXEC)) else { return nil }
        return Int(String(decoding: file.head(32), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// Makes threads that are all there at once, and ends them.
    ///
    /// - Returns: How many there were.
    private static func make(_ count: Int) -> Int {
        let gate = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        defer { gate.deallocate() }
        pthread_mutex_init(gate, nil)
        pthread_mutex_lock(gate)
        var threads: [pthread_t] = []
        while threads.count < count {
            var thread = pthread_t()
            let code = pthread_create(
                &thread, nil,
                { gate in
                    // Safe: the gate is there until all threads have ended.
                    let gate = gate?.assumingMemoryBound(to: pthread_mutex_t.self)
                    if let gate { pthread_mutex_lock(gate) }
                    if let gate { pthread_mutex_unlock(gate) }
                    return nil
                }, gate)
            guard code == 0 else { break }
            threads.append(thread)
        }
        pthread_mutex_unlock(gate)
        for thread in threads { pthread_join(thread, nil) }
        return threads.count
    }
}
