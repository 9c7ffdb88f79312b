import Foundation

/// An array of an `.npy` file or of an `.npz` archive, as 64-bit floats in row-major order.
public struct NumpyArray: Sendable {
    public let shape: [Int]
    public let values: [Double]

    /// Reads the bytes of an `.npy` file.
    ///
    /// - Parameter name: Named in errors.
    /// - Throws: ``PerceptionError`` when the bytes are no array of numbers (pickled objects are refused).
    public init(npy bytes: [UInt8], name: String) throws {
        func fail(_ what: String) -> PerceptionError { PerceptionError("'\(name)' is not a readable .npy array: \(what)") }
        guard bytes.count >= 12, bytes[0] == 0x93, Array(bytes[1..<6]) == Array("NUMPY".utf8) else {
            throw fail("its first bytes are not NumPy's")
        }
        let wide = bytes[6] >= 2
        let length = Int(bytes[8]) | Int(bytes[9]) << 8 | (wide ? Int(bytes[10]) << 16 | Int(bytes[11]) << 24 : 0)
        let start = wide ? 12 : 10
        guard length <= bytes.count - start else { throw fail("its header is cut off") }
        let header = String(decoding: bytes[start..<(start + length)], as: UTF8.self)
        guard let kind = Self.text(after: "'descr'", in: header), let shape = Self.shape(in: header) else {
            throw fail("its header is \(header.prefix(80))")
        }
        var count = 1
        for side in shape {
            let product = count.multipliedReportingOverflow(by: side)
            guard side >= 0, !product.overflow, product.partialValue <= 1 << 32 else { throw fail("shape \(shape)") }
            count = product.partialValue
        }
        let body = bytes[(start + length)...]
        guard let decoder = Self.decoders[String(kind.drop { "<|=".contains($0) })], !kind.hasPrefix(">") else {
            throw fail("its type is '\(kind)'; little-endian numbers are read, pickled objects are not")
        }
        guard body.count >= count * decoder.width else {
            throw fail("\(body.count) bytes for \(count) numbers of \(decoder.width)")
        }
        let flat = body.withUnsafeBytes { raw in (0..<count).map { decoder.read(raw, $0 * decoder.width) } }
        self.shape = shape
        values = header.contains("'fortran_order': True") ? Self.rowMajor(flat, shape) : flat
    }

    private struct Decoder: Sendable {
        var width: Int
        var read: @Sendable (UnsafeRawBufferPointer, Int) -> Double
    }

    private static let decoders: [String: Decoder] = [
        "f4": Decoder(width: 4) { Double($0.loadUnaligned(fromByteOffset: $1, as: Float.self)) },
        "f8": Decoder(width: 8) { $0.loadUnaligned(fromByteOffset: $1, as: Double.self) },
        "i4": Decoder(width: 4) { Double($0.loadUnaligned(fromByteOffset: $1, as: Int32.self)) },
        "u4": Decoder(width: 4) { Double($0.loadUnaligned(fromByteOffset: $1, as: UInt32.self)) },
        "i8": Decoder(width: 8) { Double($0.loadUnaligned(fromByteOffset: $1, as: Int64.self)) },
        "u8": Decoder(width: 8) { Double($0.loadUnaligned(fromByteOffset: $1, as: UInt64.self)) },
        "i2": Decoder(width: 2) { Double($0.loadUnaligned(fromByteOffset: $1, as: Int16.self)) },
        "u1": Decoder(width: 1) { Double($0[$1]) },
        "b1": Decoder(width: 1) { Double($0[$1]) },
    ]

    private static func text(after key: String, in header: String) -> String? {
        guard let range = header.range(of: key) else { return nil }
        let parts = header[range.upperBound...].split(separator: "'", maxSplits: 2, omittingEmptySubsequences: false)
        // A structured or object type is a list here, not one quoted word.
        guard parts.count == 3, parts[0].allSatisfy({ $0 == ":" || $0 == " " }) else { return nil }
        return String(parts[1])
    }

    private static func shape(in header: String) -> [Int]? {
        guard let range = header.range(of: "'shape'"),
            let open = header[range.upperBound...].firstIndex(of: "("),
            let close = header[open...].firstIndex(of: ")")
        else { return nil }
        var shape: [Int] = []
        for part in header[header.index(after: open)..<close].split(separator: ",") {
            let word = part.trimmingCharacters(in: .whitespaces)
            if word.isEmpty { continue }
            guard let side = Int(word) else { return nil }
            shape.append(side)
        }
        return shape
    }

    private static func rowMajor(_ flat: [Double], _ shape: [Int]) -> [Double] {
        guard shape.count > 1, !flat.isEmpty else { return flat }
        var strides = [Int](repeating: 1, count: shape.count)
        for i in 1..<shape.count { strides[i] = strides[i - 1] * shape[i - 1] }
        var index = [Int](repeating: 0, count: shape.count)
        return (0..<flat.count).map { _ in
            let at = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
            for axis in index.indices.reversed() {
                index[axis] += 1
                if index[axis] < shape[axis] { break }
                index[axis] = 0
            }
            return flat[at]
        }
    }
}

/// The arrays of an `.npz` archive, read when asked for.
public struct NumpyArchive: Sendable {
    private let zip: ZipArchive
    private let path: String

    /// - Throws: ``PerceptionError`` when the file is no zip archive.
    public init(path: String) throws {
        zip = try ZipArchive(path: path)
        self.path = path
    }

    /// Names of the arrays.
    public var names: [String] { zip.names.filter { $0.hasSuffix(".npy") }.map { String($0.dropLast(4)) } }

    /// The array of a name; nil when there is none.
    ///
    /// - Throws: ``PerceptionError`` when it is damaged or holds no numbers.
    public func array(_ name: String) throws -> NumpyArray? {
        guard zip.names.contains(name + ".npy") else { return nil }
        return try NumpyArray(npy: try zip.contents(of: name + ".npy"), name: "\(path):\(name)")
    }
}
