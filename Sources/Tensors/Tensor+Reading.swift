import CKernels
public import Safetensors

extension Tensor {
    /// The element types that weights are stored in.
    static let storedTypes: [DType] = [.f32, .bf16, .f16, .f8e4m3, .f8e5m2]

    /// Reads a tensor of a safetensors file; shorter floating types are widened.
    ///
    /// - Throws: ``SafetensorsError`` with code `mismatch` when there is none of that name, when it is not of a floating
    ///   type, or when `shape` is given and differs (−1 stands for any size).
    public init(_ file: SafetensorsFile, _ name: String, shape: [Int]? = nil) throws {
        let info = try file.info(name)
        try file.check(info, shape: shape)
        try self.init(file, info, elements: 0..<info.count, shape: info.shape)
    }

    /// Reads a stretch of a tensor's elements.
    ///
    /// - Throws: ``SafetensorsError`` with code `mismatch` when it is not of a floating type.
    init(_ file: SafetensorsFile, _ info: TensorInfo, elements: Range<Int>, shape: [Int]) throws {
        guard Self.storedTypes.contains(info.dtype) else {
            throw SafetensorsError(
                .mismatch, path: file.file.path,
                "tensor '\(info.name)' is \(info.dtype.rawValue), F32, BF16, F16, F8_E4M3 or F8_E5M2 expected")
        }
        let size = info.dtype.byteCount
        self.init(shape) { target in
            guard let out = target.baseAddress, !target.isEmpty else { return }
            file.withBytes(info) { source in
                guard let base = source.baseAddress.map({ $0 + elements.lowerBound * size }) else { return }
                switch info.dtype {
                case .f32: UnsafeMutableRawPointer(out).copyMemory(from: base, byteCount: target.count * 4)
                // Tensors of a file need not be aligned to their elements, so halves are read through a copy then.
                case .bf16: Self.widen(base, target.count) { us_bf16_to_f32(out + $0, $1, $2) }
                case .f16: Self.widen(base, target.count) { us_f16_to_f32(out + $0, $1, $2) }
                default: Self.decode(base, target, info.dtype == .f8e4m3 ? Self.e4m3 : Self.e5m2)
                }
            }
        }
    }

    private static func widen(
        _ base: UnsafeRawPointer, _ count: Int, _ convert: (Int, UnsafePointer<UInt16>, Int) -> Void
    ) {
        let block = 1 << 14
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: block) { work in
            guard let start = work.baseAddress else { return }
            for offset in stride(from: 0, to: count, by: block) {
                let length = min(block, count - offset)
                UnsafeMutableRawPointer(start).copyMemory(from: base + offset * 2, byteCount: length * 2)
                convert(offset, UnsafePointer(start), length)
            }
        }
    }

    private static func decode(_ base: UnsafeRawPointer, _ target: UnsafeMutableBufferPointer<Float>, _ table: [Float]) {
        let bytes = base.assumingMemoryBound(to: UInt8.self)
        table.withUnsafeBufferPointer { table in
            for index in target.indices { target[index] = table[Int(bytes[index])] }
        }
    }

    /// Every value of an 8-bit float; with `hasInfinity` the largest exponent means infinity and NaN, else only all ones are NaN.
    private static func eightBit(exponentBits: Int, hasInfinity: Bool) -> [Float] {
        let mantissaBits = 7 - exponentBits, bias = (1 << (exponentBits - 1)) - 1
        let largest = (1 << exponentBits) - 1
        return (0..<256).map { byte in
            let exponent = (byte & 0x7f) >> mantissaBits, mantissa = byte & ((1 << mantissaBits) - 1)
            let sign: Float = byte & 0x80 == 0 ? 1 : -1
            if hasInfinity, exponent == largest { return mantissa == 0 ? sign * .infinity : .nan }
            if !hasInfinity, byte & 0x7f == 0x7f { return .nan }
            let fraction = Float(mantissa) / Float(1 << mantissaBits)
            let value = exponent == 0 ? Float(sign: .plus, exponent: 1 - bias, significand: fraction)
                : Float(sign: .plus, exponent: exponent - bias, significand: 1 + fraction)
            return sign * value
        }
    }

    private static let e4m3 = eightBit(exponentBits: 4, hasInfinity: false)
    private static let e5m2 = eightBit(exponentBits: 5, hasInfinity: true)
}
