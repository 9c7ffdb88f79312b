import Foundation
import NodeKit
import Safetensors

/// How two values of one port differ.
public struct ValueComparison: Sendable, Codable, CustomStringConvertible {
    /// How one array differs.
    public struct Difference: Sendable, Codable, CustomStringConvertible {
        public let name: String
        /// The shapes with element types; nil where a value does not have the array.
        public let old: String?
        public let new: String?
        /// The largest absolute difference of two finite elements; nil when the shapes differ.
        public let largest: Double?
        /// The norm of the difference over the norm of the old array.
        public let relative: Double?
        /// For 8-bit pictures: peak signal to noise ratio, in decibels.
        public let psnr: Double?
        /// How many elements are NaN or infinite in one of the two only, or not in the same way.
        public let unlike: Int?

        public var description: String {
            guard let old else { return "\(name) is new: \(new ?? "")" }
            guard let new else { return "\(name) is gone: was \(old)" }
            guard let largest, let relative, let unlike else { return "\(name) \(old) → \(new)" }
            if let psnr { return String(format: "%@: PSNR %.1f dB, largest difference %.0f of 255", name, psnr, largest) }
            let numbers = String(format: "largest difference %.3g, relative %.2g", largest, relative)
            guard unlike > 0 else { return "\(name): \(numbers)" }
            return "\(name): \(unlike) \(unlike == 1 ? "is" : "are") NaN or infinite in one only" + (largest > 0 ? ", else \(numbers)" : "")
        }
    }

    /// Empty when only the metadata differs, or the bytes of a file.
    public let differences: [Difference]
    /// Said of values that are no arrays.
    public let note: String?

    public var description: String { note ?? differences.map(\.description).joined(separator: ", ") }

    /// Compares two values.
    ///
    /// - Throws: When an array's file cannot be read.
    public init(_ old: Artifact, _ new: Artifact) throws {
        let files = FileManager.default
        let gone = [("the old", old), ("the new", new)].filter { $0.1.contents == nil && !files.fileExists(atPath: $0.1.path) }.map(\.0)
        guard gone.isEmpty else {
            (differences, note) = ([], "\(gone.joined(separator: " and ")) value is no longer in the cache")
            return
        }
        guard old.type == new.type else {
            (differences, note) = ([], "\(old.type) → \(new.type)")
            return
        }
        guard old.path.hasSuffix(".safetensors"), new.path.hasSuffix(".safetensors") else {
            func bytes(_ path: String) -> Int { ((try? files.attributesOfItem(atPath: path))?[.size] as? Int) ?? 0 }
            (differences, note) = ([], "other bytes: \(bytes(old.path)) → \(bytes(new.path))")
            return
        }
        let (a, b) = (try old.open(), try new.open())
        let isPicture = [PortType.image, .video, .maps].contains(old.type)
        differences = Set(a.tensors.keys).union(b.tensors.keys).sorted().compactMap { name in
            Self.difference(name, a, b, isPicture: isPicture)
        }
        note = differences.isEmpty ? "only the metadata differs" : nil
    }

    /// Nil when an array is the same in both.
    private static func difference(_ name: String, _ a: SafetensorsFile, _ b: SafetensorsFile, isPicture: Bool) -> Difference? {
        func text(_ info: TensorInfo?) -> String? { info.map { "\($0.dtype.rawValue) \($0.shape)" } }
        let (old, new) = (a.tensors[name], b.tensors[name])
        guard let old, let new, old.shape == new.shape, old.dtype == new.dtype else {
            return Difference(name: name, old: text(old), new: text(new), largest: nil, relative: nil, psnr: nil, unlike: nil)
        }
        var unlike = 0
        var (largest, square, norm) = (0.0, 0.0, 0.0)
        var isSame = true
        a.file.withBytes { first in
            b.file.withBytes { second in
                let first = UnsafeRawBufferPointer(rebasing: first[(a.dataOffset + old.range.lowerBound)..<(a.dataOffset + old.range.upperBound)])
                let second = UnsafeRawBufferPointer(rebasing: second[(b.dataOffset + new.range.lowerBound)..<(b.dataOffset + new.range.upperBound)])
                guard !first.elementsEqual(second) else { return }
                isSame = false
                func measure<T: BitwiseCopyable>(_ type: T.Type, _ value: (T) -> Double) {
                    let size = MemoryLayout<T>.size
                    for offset in stride(from: 0, to: first.count, by: size) {
                        let x = value(first.loadUnaligned(fromByteOffset: offset, as: T.self))
                        let y = value(second.loadUnaligned(fromByteOffset: offset, as: T.self))
                        guard x.isFinite, y.isFinite else {
                            // What is not a number in both counts as equal.
                            unlike += x == y || x.isNaN && y.isNaN ? 0 : 1
                            continue
                        }
                        let difference = abs(x - y)
                        largest = max(largest, difference)
                        square += difference * difference
                        norm += x * x
                    }
                }
                switch old.dtype {
                case .bool, .u8: measure(UInt8.self) { Double($0) }
                case .i8: measure(Int8.self) { Double($0) }
                case .i16: measure(Int16.self) { Double($0) }
                case .u16: measure(UInt16.self) { Double($0) }
                case .i32: measure(Int32.self) { Double($0) }
                case .u32: measure(UInt32.self) { Double($0) }
                case .i64: measure(Int64.self) { Double($0) }
                case .u64: measure(UInt64.self) { Double($0) }
                // The bits of half floats: those of e5m2 as they are, those of e4m3 with an exponent that counts from 8 less.
                case .f8e5m2: measure(UInt8.self) { Double(Float16(bitPattern: UInt16($0) << 8)) }
                case .f8e4m3:
                    measure(UInt8.self) { bits in
                        bits & 0x7F == 0x7F ? .nan : 256 * Double(Float16(bitPattern: UInt16(bits & 0x80) << 8 | UInt16(bits & 0x7F) << 7))
                    }
                case .f8e8m0: measure(UInt8.self) { $0 == 0xFF ? .nan : Double(sign: .plus, exponent: Int($0) - 127, significand: 1) }
                case .f16: measure(Float16.self) { Double($0) }
                case .bf16: measure(UInt16.self) { Double(Float(bitPattern: UInt32($0) << 16)) }
                case .f32: measure(Float.self) { Double($0) }
                case .f64: measure(Double.self) { $0 }
                }
            }
        }
        guard !isSame else { return nil }
        let mean = square / Double(max(old.count, 1))
        let psnr = isPicture && old.dtype == .u8 && mean > 0 ? 10 * log10(255 * 255 / mean) : nil
        return Difference(
            name: name, old: text(old), new: text(new), largest: largest,
            relative: norm > 0 ? (square / norm).squareRoot() : square > 0 ? .greatestFiniteMagnitude : 0, psnr: psnr,
            unlike: unlike)
    }
}
