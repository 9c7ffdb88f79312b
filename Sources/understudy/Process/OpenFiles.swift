import Foundation

/// How many files may be open at once.
enum OpenFiles {
    /// What a graph takes besides its own files: the index, locks, the pipes of a program, the system library's own.
    private static let needed = 24
    private static let wanted: rlim_t = 8192

    /// Raises the limit as far as it may be, and checks that it is enough: where there is no descriptor left at all, the system
    /// library traps instead of giving an error.
    ///
    /// - Throws: ``Failure`` with the remedy.
    static func prepare() throws {
        var limit = rlimit()
        let resource = __rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue))
        if getrlimit(resource, &limit) == 0, limit.rlim_cur < wanted {
            limit.rlim_cur = min(limit.rlim_max, wanted)
            setrlimit(resource, &limit)
        }
        var descriptors: [Int32] = []
        defer { for descriptor in descriptors { close(descriptor) } }
        while descriptors.count < needed {
            let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
            guard descriptor < 0 else {
                descriptors.append(descriptor)
                continue
            }
            guard errno == EMFILE || errno == ENFILE else { return }
            throw Failure.node("error: no more than \(limit.rlim_cur) files may be open at once, which is too few; raise the limit (ulimit -n)")
        }
    }
}
