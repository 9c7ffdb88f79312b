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
        base = StoragePool.shared.take(byteCount: count * MemoryLayout<Float>.stride)
            .bindMemory(to: Float.self, capacity: count)
    }

    deinit { StoragePool.shared.give(base, byteCount: count * MemoryLayout<Float>.stride) }
}

/// Something computed from a tensor's numbers and kept with them.
protocol DerivedForm: AnyObject, Sendable {}

/// Large blocks that wait to be used again: networks ask for the same sizes over and over, and fresh pages from the system
/// cost more than most elementwise operations.
///
/// `@unchecked Sendable`: a block belongs to the pool only between `give` and `take`.
private final class StoragePool: @unchecked Sendable {
    static let shared = StoragePool()
    /// Blocks outside the first two bounds are left to the allocator; the pool keeps at most the third, in bytes.
    private static let smallest = 1 << 18, largest = 160 << 20, capacity = 1 << 28

    private struct State: @unchecked Sendable {
        var blocks: [(byteCount: Int, base: UnsafeMutableRawPointer)] = []
        var total = 0
    }
    private let state = Mutex(State())

    func take(byteCount: Int) -> UnsafeMutableRawPointer {
        let found: Shared<UnsafeMutableRawPointer>? = byteCount < Self.smallest ? nil : state.withLock { state in
            guard let index = state.blocks.lastIndex(where: { $0.byteCount == byteCount }) else { return nil }
            state.total -= byteCount
            return Shared(state.blocks.remove(at: index).base)
        }
        return found?.pointer ?? AlignedMemory.allocate(byteCount: byteCount)
    }

    func give(_ base: UnsafeMutablePointer<Float>, byteCount: Int) {
        let block = Shared(UnsafeMutableRawPointer(base))
        guard byteCount >= Self.smallest, byteCount <= Self.largest else {
            return AlignedMemory.release(block.pointer)
        }
        let surplus: Shared<[UnsafeMutableRawPointer]> = state.withLock { state in
            state.blocks.append((byteCount, block.pointer))
            state.total += byteCount
            var dropped: [UnsafeMutableRawPointer] = []
            while state.total > Self.capacity {
                let oldest = state.blocks.removeFirst()
                state.total -= oldest.byteCount
                dropped.append(oldest.base)
            }
            return Shared(dropped)
        }
        for base in surplus.pointer { AlignedMemory.release(base) }
    }
}

enum AlignedMemory {
    /// Large blocks lie on pages of two megabytes where the system has them: the first touch of small ones costs as much as the
    /// arithmetic of most operations.
    private static let hugePage = 1 << 21

    /// At least 64 bytes, aligned to 64; free with `free`.
    static func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
        var pointer: UnsafeMutableRawPointer?
        let isLarge = byteCount >= 2 * hugePage
        let rounded = max((byteCount + 63) / 64 * 64, 64)
        guard posix_memalign(&pointer, isLarge ? hugePage : 64, rounded) == 0, let pointer else {
            fatalError("out of memory: \(byteCount) bytes for a tensor cannot be had")
        }
        #if os(Linux)
            // Whole pages only; a refusal costs nothing but the gain.
            if isLarge { _ = madvise(pointer, rounded / hugePage * hugePage, MADV_HUGEPAGE) }
        #endif
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
