/// An element type of a safetensors file.
public enum DType: String, Sendable, CaseIterable, Codable {
    case bool = "BOOL"
    case u8 = "U8"
    case i8 = "I8"
    case i16 = "I16"
    case u16 = "U16"
    case i32 = "I32"
    case u32 = "U32"
    case i64 = "I64"
    case u64 = "U64"
    case f16 = "F16"
    case bf16 = "BF16"
    case f32 = "F32"
    case f64 = "F64"
    /// 1 sign, 4 exponent, 3 mantissa bits; no infinity.
    case f8e4m3 = "F8_E4M3"
    /// 1 sign, 5 exponent, 2 mantissa bits.
    case f8e5m2 = "F8_E5M2"
    /// 8 exponent bits: a power of two, as scales of microscaling formats are.
    case f8e8m0 = "F8_E8M0"

    /// The size of one element, in bytes.
    public var byteCount: Int {
        switch self {
        case .bool, .u8, .i8, .f8e4m3, .f8e5m2, .f8e8m0: 1
        case .i16, .u16, .f16, .bf16: 2
        case .i32, .u32, .f32: 4
        case .i64, .u64, .f64: 8
        }
    }
}

/// A Swift type whose memory layout equals that of a safetensors element.
public protocol TensorElement: BitwiseCopyable, Sendable {
    static var dtype: DType { get }
}

extension UInt8: TensorElement { public static var dtype: DType { .u8 } }
extension Int8: TensorElement { public static var dtype: DType { .i8 } }
extension UInt16: TensorElement { public static var dtype: DType { .u16 } }
extension Int32: TensorElement { public static var dtype: DType { .i32 } }
extension UInt32: TensorElement { public static var dtype: DType { .u32 } }
extension Int64: TensorElement { public static var dtype: DType { .i64 } }
extension UInt64: TensorElement { public static var dtype: DType { .u64 } }
extension Float: TensorElement { public static var dtype: DType { .f32 } }
extension Double: TensorElement { public static var dtype: DType { .f64 } }
