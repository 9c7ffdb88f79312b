import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Memory of one tensor: 64-byte aligned floats, freed with the last owner.
///
/// `@unchecked Sendable`: written only while uniquely referenced (``Tensor`` copies otherwise), read-only after that.
final class TensorStorage: @unchecked Sendable {
    let base: UnsafeMutablePointer<Float>
    let count: Int
    /// Forms of the same numbers that are dear to make, for instance weights packed for a convolution.
    let derived = Mutex<[any DerivedForm]>([])

    init(uninitialized count: Int) {
        self.count = count
        base = AlignedMemory.allocate(byteCount: count * MemoryLayout<Float>.stride)
            .bindMemory(to: Float.self, capacity: count)
    }

    deinit { free(base) }
}

/// Something computed from a tensor's numbers and kept with them.
protocol DerivedForm: AnyObject, Sendable {}

enum AlignedMemory {
    /// At least 64 bytes, aligned to 64; free with `free`.
    static func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
        var pointer: UnsafeMutableRawPointer?
        let rounded = max((byteCount + 63) / 64 * 64, 64)
        guard posix_memalign(&pointer, 64, rounded) == 0, let pointer else {
            fatalError("out of memory: \(byteCount) bytes for a tensor cannot be had")
        }
        return pointer
    }

    static func release(_ pointer: UnsafeMutableRawPointer) { free(pointer) }
}

/// Work memory that is used again instead of being returned to the system after every operation.
///
/// `@unchecked Sendable`: a block belongs to one caller between `take` and `give`.
final class WorkMemory: @unchecked Sendable {
    static let shared = WorkMemory()
    private struct Block: @unchecked Sendable {
        var base: UnsafeMutableRawPointer
        var byteCount: Int
    }
    private let free = Mutex<[Block]>([])

    /// Lends 64-byte aligned memory to the closure; its content is arbitrary.
    func lend<R>(byteCount: Int, _ body: (UnsafeMutableRawPointer) throws -> R) rethrows -> R {
        let found: Block? = free.withLock { blocks in
            guard let index = blocks.firstIndex(where: { $0.byteCount >= byteCount }) else { return nil }
            return blocks.remove(at: index)
        }
        let block = found ?? Block(base: AlignedMemory.allocate(byteCount: byteCount), byteCount: byteCount)
        defer {
            let surplus: Block? = free.withLock { blocks in
                blocks.append(block)
                blocks.sort { $0.byteCount < $1.byteCount }
                return blocks.count > 16 ? blocks.removeFirst() : nil
            }
            if let surplus { AlignedMemory.release(surplus.base) }
        }
        return try body(block.base)
    }

    func lendFloats<R>(_ count: Int, _ body: (UnsafeMutablePointer<Float>) throws -> R) rethrows -> R {
        try lend(byteCount: count * 4) { try body($0.bindMemory(to: Float.self, capacity: count)) }
    }
}
