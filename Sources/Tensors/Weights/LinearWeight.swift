import CKernels

/// How the large linear layers of a network hold their weights and multiply.
public enum Precision: String, Sendable, CaseIterable, Codable {
    /// Single precision throughout.
    case f32
    /// Weights rounded to bf16, half the memory; those that a file holds as bf16 are used where they lie in the mapped file. Where the processor multiplies bf16, activations and attention are rounded as
    /// well; elsewhere products are done in single precision.
    case bf16
    /// Weights in 8 bits with one scale per output, a quarter of the memory; activations in 8 bits with one scale per token, products
    /// in exact integers. Attention as with ``bf16``.
    case int8

    /// Whether attention rounds its inputs to bf16 on this machine.
    public var roundsAttention: Bool { self != .f32 && us_multiplies_bf16() }
}

/// The weight of a linear layer, `[out, in]`, in one of the precisions.
public struct LinearWeight: Sendable {
    public let shape: [Int]
    public let precision: Precision
    /// The numbers, row-major, in the precision's own width.
    let storage: TensorStorage
    /// One scale per output, and the sums of its integers, for 8 bits.
    let scales: TensorStorage?
    let sums: TensorStorage?

    /// Rounds a matrix to the precision.
    public init(_ tensor: Tensor, _ precision: Precision = .f32) {
        precondition(tensor.rank == 2, "the weight of a linear layer is a matrix, not \(tensor.shape)")
        shape = tensor.shape
        self.precision = precision
        let (rows, width) = (tensor.shape[0], tensor.shape[1])
        let source = Shared(tensor.pointer)
        switch precision {
        case .f32:
            storage = tensor.storage
            scales = nil
            sums = nil
        case .bf16:
            storage = Self.rounded(tensor)
            scales = nil
            sums = nil
        case .int8:
            let packed = TensorStorage(uninitialized: (rows * width + 3) / 4)
            let scales = TensorStorage(uninitialized: rows), sums = TensorStorage(uninitialized: rows)
            let target = Shared(
                (
                    bytes: UnsafeMutableRawPointer(packed.base).assumingMemoryBound(to: Int8.self), scales: scales.base,
                    sums: UnsafeMutableRawPointer(sums.base).assumingMemoryBound(to: Int32.self)
                ))
            Parallel.forEach(count: rows) {
                us_quantize_rows(
                    target.pointer.bytes + $0 * width, target.pointer.scales + $0, target.pointer.sums + $0,
                    source.pointer + $0 * width, 1, width)
            }
            storage = packed
            self.scales = scales
            self.sums = sums
        }
        withExtendedLifetime(tensor) {}
    }

    /// A matrix of bf16 as it is stored.
    init(rounded storage: TensorStorage, shape: [Int]) {
        self.shape = shape
        self.storage = storage
        precision = .bf16
        scales = nil
        sums = nil
    }

    /// Whether no number is infinite or NaN.
    var isFinite: Bool {
        guard precision == .bf16 else { return tensor.isFinite }
        let source = Shared(UnsafeRawPointer(storage.base).assumingMemoryBound(to: UInt16.self))
        return withExtendedLifetime(storage) {
            Parallel.allSatisfy(count: shape.reduce(1, *), length: 1 << 15) { range in
                WorkMemory.shared.lendFloats(range.count) { work in
                    us_bf16_to_f32(work, source.pointer + range.lowerBound, range.count)
                    return us_all_finite(work, range.count)
                }
            }
        }
    }

    /// The numbers of a tensor as bf16.
    static func rounded(_ tensor: Tensor) -> TensorStorage {
        let rounded = TensorStorage(uninitialized: (tensor.count + 1) / 2)
        let target = Shared(UnsafeMutableRawPointer(rounded.base).assumingMemoryBound(to: UInt16.self)), source = Shared(tensor.pointer)
        withExtendedLifetime(tensor) {
            Parallel.forEachRange(count: tensor.count, length: 1 << 15) {
                us_f32_to_bf16(target.pointer + $0.lowerBound, source.pointer + $0.lowerBound, $0.count)
            }
        }
        return rounded
    }

    /// The numbers in single precision.
    public var tensor: Tensor {
        switch precision {
        case .f32: return Tensor(shape: shape, storage: storage)
        case .bf16:
            let source = UnsafeMutableRawPointer(storage.base).assumingMemoryBound(to: UInt16.self)
            return Tensor(shape) { if let out = $0.baseAddress { us_bf16_to_f32(out, source, $0.count) } }
        case .int8:
            let source = UnsafeMutableRawPointer(storage.base).assumingMemoryBound(to: Int8.self)
            let width = shape[1]
            return Tensor(shape) { out in
                for index in out.indices {
                    out.initializeElement(at: index, to: Float(source[index]) * (scales?.base[index / width] ?? 0))
                }
            }
        }
    }

    /// Bytes that the weight takes.
    public var byteCount: Int { 4 * (storage.count + (scales?.count ?? 0) + (sums?.count ?? 0)) }

    /// The layer as the kernels take it; keep self and the bias alive around its use.
    func layer(_ bias: Tensor?, _ activation: LinearActivation, level: us_level?) -> us_linear {
        us_linear(
            inputs: shape[1], outputs: shape[0],
            weight_type: precision == .f32 ? US_WEIGHT_F32 : precision == .bf16 ? US_WEIGHT_BF16 : US_WEIGHT_INT8,
            activation: activation.native, bf16: precision == .bf16 && (level != nil || us_multiplies_bf16()),
            level: level.map { Int32($0.rawValue) } ?? -1, weight: UnsafeRawPointer(storage.base), weight_scales: scales?.base,
            weight_sums: sums.map { UnsafeRawPointer($0.base).assumingMemoryBound(to: Int32.self) }, bias: bias?.pointer)
    }
}

/// What a linear layer does to its sums.
public enum LinearActivation: Sendable {
    case none
    /// GELU by the tanh formula.
    case geluTanh
    /// x·σ(x).
    case silu

    var native: us_activation {
        switch self {
        case .none: US_LINEAR
        case .geluTanh: US_GELU_TANH
        case .silu: US_SILU
        }
    }
}
