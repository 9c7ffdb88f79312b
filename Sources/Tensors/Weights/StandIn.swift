#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension Tensor {
    /// Zeros in place of a weight that is missing: its size may be a mistake, too, so they take no memory until they are touched.
    init(standingInFor shape: [Int]) {
        let pages = ZeroPages(byteCount: shape.reduce(1, *) * MemoryLayout<Float>.stride)
        guard let base = pages.base else {
            self.init(zeros: shape)
            return
        }
        self.init(shape: shape, storage: TensorStorage(borrowing: base, byteCount: pages.byteCount, from: pages))
    }
}

/// Memory that the system fills with zeros when it is touched.
///
/// `@unchecked Sendable`: the addresses do not change, and the memory belongs to the one storage that borrows it.
private final class ZeroPages: StorageLender, @unchecked Sendable {
    let byteCount: Int
    let base: UnsafeMutableRawPointer?

    init(byteCount: Int) {
        self.byteCount = byteCount
        let start = mmap(nil, max(byteCount, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        base = start == MAP_FAILED ? nil : start
    }

    func release() {}

    deinit { if let base { munmap(base, max(byteCount, 1)) } }
}
