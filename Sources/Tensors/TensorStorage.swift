import Locking

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
    let derived = Locked<[any DerivedForm]>([])

    /// Who owns the memory, if not this object; it is told when the memory is not needed any more.
    private let lender: (any StorageLender)?

    init(uninitialized count: Int) {
        self.count = count
        lender = nil
        base = StoragePool.shared.take(byteCount: count * MemoryLayout<Float>.stride)
            .bindMemory(to: Float.self, capacity: count)
    }

    /// Memory that another object owns, such as a part of a mapped file; nobody may write to it, and it need not be aligned.
    init(borrowing base: UnsafeRawPointer, byteCount: Int, from lender: any StorageLender) {
        count = (byteCount + 3) / 4
        self.lender = lender
        self.base = UnsafeMutableRawPointer(mutating: base).assumingMemoryBound(to: Float.self)
    }

    deinit {
        if let lender { lender.release() } else { StoragePool.shared.give(base, byteCount: count * MemoryLayout<Float>.stride) }
    }
}

/// The owner of memory that a ``TensorStorage`` borrows.
protocol StorageLender: Sendable {
    /// The memory is not needed at present.
    func release()
}

/// Something computed from a tensor's numbers and kept with them.
protocol DerivedForm: AnyObject, Sendable {}

/// Large blocks that wait to be used again: networks ask for the same sizes over and over, and fresh pages from the system
/// cost more than most elementwise operations.
///
/// What waits adds nothing to the most memory that tensors have had at one time; when nearly all of them are gone, as a network is
/// at its end, it goes too, but for `spare`.
///
/// `@unchecked Sendable`: a block belongs to the pool only between `give` and `take`.
private final class StoragePool: @unchecked Sendable {
    static let shared = StoragePool()
    /// Blocks of fewer bytes are left to the allocator; so many bytes may wait whatever else there is.
    private static let smallest = 1 << 18, spare = 160 << 20

    private struct Block: @unchecked Sendable {
        var byteCount: Int
        var base: UnsafeMutableRawPointer
    }
    private struct State: Sendable {
        var waiting: [Block] = []
        /// Bytes of the blocks that wait, of those in use, and the most that were in use at one time.
        var idle = 0, used = 0, peak = 0

        /// Takes out the oldest blocks that are too many when `more` bytes come into use.
        mutating func surplus(for more: Int = 0) -> [Block] {
            if used <= peak / 16 { peak = used }
            let limit = max(StoragePool.spare, peak - used - more)
            var dropped = 0
            while idle > limit, dropped < waiting.count {
                idle -= waiting[dropped].byteCount
                dropped += 1
            }
            defer { waiting.removeFirst(dropped) }
            return Array(waiting[..<dropped])
        }
    }
    private let state = Locked(State())

    func take(byteCount: Int) -> UnsafeMutableRawPointer {
        guard byteCount >= Self.smallest else { return AlignedMemory.allocate(byteCount: byteCount) }
        let (found, surplus): (Block?, [Block]) = state.withLock { state in
            var found: Block?
            if let index = state.waiting.lastIndex(where: { $0.byteCount == byteCount }) {
                found = state.waiting.remove(at: index)
                state.idle -= byteCount
            }
            let surplus = found == nil ? state.surplus(for: byteCount) : []
            state.used += byteCount
            state.peak = max(state.peak, state.used)
            return (found, surplus)
        }
        release(surplus)
        return found?.base ?? AlignedMemory.allocate(byteCount: byteCount)
    }

    func give(_ base: UnsafeMutablePointer<Float>, byteCount: Int) {
        guard byteCount >= Self.smallest else { return AlignedMemory.release(base, byteCount: byteCount) }
        let block = Block(byteCount: byteCount, base: base)
        release(
            state.withLock { state in
                state.waiting.append(block)
                state.idle += byteCount
                state.used -= byteCount
                return state.surplus()
            })
    }

    private func release(_ blocks: [Block]) {
        for block in blocks { AlignedMemory.release(block.base, byteCount: block.byteCount) }
    }
}

enum AlignedMemory {
    /// Large blocks lie on pages of two megabytes where the system has them: the first touch of small ones costs as much as the
    /// arithmetic of most operations.
    private static let hugePage = 1 << 21

    /// At least `byteCount` bytes, aligned to 64; to be released with the same count.
    static func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
        #if os(Linux)
            if let length = mappedLength(byteCount) {
                guard let base = map(length) else { fatalError("out of memory: \(byteCount) bytes for a tensor cannot be had") }
                return base
            }
        #endif
        var pointer: UnsafeMutableRawPointer?
        guard posix_memalign(&pointer, 64, max((byteCount + 63) / 64 * 64, 64)) == 0, let pointer else {
            fatalError("out of memory: \(byteCount) bytes for a tensor cannot be had")
        }
        return pointer
    }

    static func release(_ pointer: UnsafeMutableRawPointer, byteCount: Int) {
        #if os(Linux)
            if let length = mappedLength(byteCount) {
                munmap(pointer, length)
                return
            }
        #endif
        free(pointer)
    }

    #if os(Linux)
        /// Large blocks are mapped here and not by the allocator, which keeps what was freed: blocks of many sizes then leave holes that
        /// nothing fits. Nil for small ones.
        private static func mappedLength(_ byteCount: Int) -> Int? {
            byteCount >= 2 * hugePage ? (byteCount + 4095) / 4096 * 4096 : nil
        }

        private static func map(_ length: Int) -> UnsafeMutableRawPointer? {
            let whole = length + hugePage
            guard let start = mmap(nil, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), start != MAP_FAILED else { return nil }
            let skipped = (hugePage - Int(bitPattern: start) % hugePage) % hugePage
            let base = start + skipped
            if skipped > 0 { munmap(start, skipped) }
            if skipped < hugePage { munmap(base + length, hugePage - skipped) }
            // Whole pages only; a refusal costs nothing but the gain.
            _ = madvise(base, length / hugePage * hugePage, MADV_HUGEPAGE)
            return base
        }
    #endif
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
    private let free = Locked<[Block]>([])

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
            if let surplus { AlignedMemory.release(surplus.base, byteCount: surplus.byteCount) }
        }
        return try body(block.base)
    }

    func lendFloats<R>(_ count: Int, _ body: (UnsafeMutablePointer<Float>) throws -> R) rethrows -> R {
        try lend(byteCount: count * 4) { try body($0.bindMemory(to: Float.self, capacity: count)) }
    }
}
