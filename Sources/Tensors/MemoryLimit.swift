import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How much memory this process may use.
package enum MemoryLimit {
    /// The least of the machine's memory, the limits of the control groups that the process is in, and its own limit of data.
    package static func bytes() -> Int {
        var limit = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        #if os(Linux)
            for path in controlGroups() {
                guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { continue }
                if let bytes = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) { limit = min(limit, bytes) }
            }
            var own = rlimit()
            if getrlimit(__rlimit_resource_t(RLIMIT_DATA.rawValue), &own) == 0 { limit = min(limit, Int(clamping: own.rlim_cur)) }
        #endif
        return max(limit, 1 << 20)
    }

    /// Files that hold the limits of the process's control groups, its own and those around it, in both versions of the interface.
    private static func controlGroups() -> [String] {
        let lines = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8))?.split(separator: "\n") ?? []
        return lines.flatMap { line -> [String] in
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[1].isEmpty || fields[1].split(separator: ",").contains("memory") else { return [] }
            let (root, name) = fields[1].isEmpty ? ("/sys/fs/cgroup", "memory.max") : ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            var parts = fields[2].split(separator: "/")
            var paths = ["\(root)/\(name)"]
            while !parts.isEmpty {
                paths.append("\(root)/\(parts.joined(separator: "/"))/\(name)")
                parts.removeLast()
            }
            return paths
        }
    }
}
