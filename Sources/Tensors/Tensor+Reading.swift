import CKernels
public import Safetensors

extension Tensor {
    /// The element types that weights are stored in.
    static let storedTypes: [DType] = [.f32, .bf16, .f16, .f8e4m3, .f8e5m2, .f8e8m0]

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
    /// - Parameter type: What its bytes stand for, where that is another type of the same size; nil: what the file says.
    /// - Throws: ``SafetensorsError`` with code `mismatch` when it is not of a floating type.
    init(_ file: SafetensorsFile, _ info: TensorInfo, elements: Range<Int>, shape: [Int], as type: DType? = nil) throws {
        let type = type ?? info.dtype
        guard Self.storedTypes.contains(type) else {
            throw SafetensorsError(
                .mismatch, path: file.file.path,
                "tensor '\(info.name)' is \(info.dtype.rawValue), F32, BF16, F16, F8_E4M3, F8_E5M2 or F8_E8M0 expected")
        }
        let size = info.dtype.byteCount
        self.init(shape) { target in
            guard let out = target.baseAddress.map(Shared.init) else { return }
            file.withBytes(info) { source in
                guard let base = source.baseAddress.map({ Shared($0 + elements.lowerBound * size) }) else { return }
                Parallel.forEachRange(count: target.count, length: 1 << 16) { range in
                    Self.widen(base.pointer + range.lowerBound * size, type, out.pointer + range.lowerBound, range.count)
                }
            }
        }
    }

    /// Makes floats of numbers that need not be aligned.
    private static func widen(_ source: UnsafeRawPointer, _ type: DType, _ target: UnsafeMutablePointer<Float>, _ count: Int) {
        switch type {
        case .f32: UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count * 4)
        case .bf16: widenHalves(source, target, count, us_bf16_to_f32)
        case .f16: widenHalves(source, target, count, us_f16_to_f32)
        default:
            let bytes = source.assumingMemoryBound(to: UInt8.self)
            (type == .f8e4m3 ? e4m3 : type == .f8e5m2 ? e5m2 : e8m0).withUnsafeBufferPointer { table in
                for index in 0..<count { target[index] = table[Int(bytes[index])] }
            }
        }
    }

    private static func widenHalves(
        _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int,
        _ convert: (UnsafeMutablePointer<Float>, UnsafePointer<UInt16>, Int) -> Void
    ) {
        guard Int(bitPattern: source) % 2 != 0 else { return convert(target, source.assumingMemoryBound(to: UInt16.self), count) }
        let block = 1 << 14
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: block) { work in
            guard let start = work.baseAddress else { return }
            for offset in stride(from: 0, to: count, by: block) {
                let length = min(block, count - offset)
                UnsafeMutableRawPointer(start).copyMemory(from: source + offset * 2, byteCount: length * 2)
                convert(target + offset, UnsafePointer(start), length)
            }
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
    private static let e8m0 = (0..<256).map { $0 < 255 ? Float(sign: .plus, exponent: $0 - 127, significand: 1) : .nan }
}
