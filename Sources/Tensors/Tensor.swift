import CKernels

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A dense array of 32-bit floats, row-major, with value semantics.
///
/// Copies share memory until one of them is changed. Operations return new tensors, check shapes with preconditions (a
/// wrong shape is a mistake in model code; what comes from files is checked when it is loaded), and give the same bytes
/// whatever ``Parallel/threads`` says.
///
///     let y = x.linear(weight, bias).silu()          // [tokens, channels]
public struct Tensor: Sendable {
    /// Sizes, slowest dimension first; empty for a scalar.
    public let shape: [Int]
    var storage: TensorStorage

    /// The number of elements.
    public var count: Int { storage.count }
    /// The number of dimensions.
    public var rank: Int { shape.count }

    init(shape: [Int], storage: TensorStorage) {
        precondition(shape.reduce(1, *) == storage.count, "shape \(shape) does not hold \(storage.count) elements")
        self.shape = shape
        self.storage = storage
    }

    /// A tensor whose elements the closure writes, all of them.
    public init(_ shape: [Int], initializedBy body: (UnsafeMutableBufferPointer<Float>) throws -> Void) rethrows {
        precondition(shape.allSatisfy { $0 >= 0 }, "shape \(shape) has a negative size")
        let storage = TensorStorage(uninitialized: shape.reduce(1, *))
        try body(UnsafeMutableBufferPointer(start: storage.base, count: storage.count))
        self.init(shape: shape, storage: storage)
    }

    /// A tensor with one value everywhere.
    public init(repeating value: Float, _ shape: [Int]) {
        self.init(shape) { $0.initialize(repeating: value) }
    }

    /// A tensor of zeros.
    public init(zeros shape: [Int]) { self.init(repeating: 0, shape) }

    /// A tensor of the given values in row-major order.
    public init(_ values: some Collection<Float>, _ shape: [Int]) {
        precondition(
            values.count == shape.reduce(1, *), "\(values.count) values do not fill shape \(shape)")
        self.init(shape) { _ = $0.initialize(from: values) }
    }

    /// A vector of the given values.
    public init(_ values: [Float]) { self.init(values, [values.count]) }

    /// The elements, inside the closure.
    public func withUnsafeBuffer<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
        try withExtendedLifetime(storage) {
            try body(UnsafeBufferPointer(start: storage.base, count: storage.count))
        }
    }

    /// The elements for changing, inside the closure; copies first when the memory is shared.
    public mutating func withUnsafeMutableBuffer<R>(
        _ body: (UnsafeMutableBufferPointer<Float>) throws -> R
    ) rethrows -> R {
        if !isKnownUniquelyReferenced(&storage) {
            let copy = TensorStorage(uninitialized: storage.count)
            copy.base.update(from: storage.base, count: storage.count)
            storage = copy
        }
        storage.derived.withLock { $0 = [] }
        return try withExtendedLifetime(storage) {
            try body(UnsafeMutableBufferPointer(start: storage.base, count: storage.count))
        }
    }

    /// The elements in row-major order.
    public var array: [Float] { withUnsafeBuffer { Array($0) } }

    /// One element.
    public subscript(_ indices: Int...) -> Float {
        precondition(indices.count == rank, "\(indices.count) indices into shape \(shape)")
        var offset = 0
        for (index, size) in zip(indices, shape) {
            precondition(index >= 0 && index < size, "index \(indices) outside shape \(shape)")
            offset = offset * size + index
        }
        return storage.base[offset]
    }

    /// Whether no element is infinite or NaN.
    public var isFinite: Bool {
        let source = Shared(pointer)
        return withExtendedLifetime(storage) {
            Parallel.allSatisfy(count: count, length: 1 << 18) { us_all_finite(source.pointer + $0.lowerBound, $0.count) }
        }
    }

    /// Whether shape and bytes are the same.
    public func hasSameBytes(as other: Tensor) -> Bool {
        withExtendedLifetime((storage, other.storage)) { shape == other.shape && memcmp(storage.base, other.storage.base, 4 * count) == 0 }
    }

    /// The memory, for kernels of this module; keep the tensor alive around its use.
    var pointer: UnsafePointer<Float> { UnsafePointer(storage.base) }

    /// Resolves a dimension that may count from the end.
    func axis(_ dimension: Int) -> Int {
        let resolved = dimension < 0 ? dimension + rank : dimension
        precondition(resolved >= 0 && resolved < rank, "dimension \(dimension) of a tensor of shape \(shape)")
        return resolved
    }
}

/// A pointer that pieces of one parallel loop share; each writes a part of its own.
struct Shared<Pointer>: @unchecked Sendable {
    let pointer: Pointer
    init(_ pointer: Pointer) { self.pointer = pointer }
}

extension Tensor {
    /// A new tensor whose memory the pieces of a parallel loop fill.
    static func filled(_ shape: [Int], _ body: (Shared<UnsafeMutablePointer<Float>>) -> Void) -> Tensor {
        let storage = TensorStorage(uninitialized: shape.reduce(1, *))
        body(Shared(storage.base))
        return Tensor(shape: shape, storage: storage)
    }
}
