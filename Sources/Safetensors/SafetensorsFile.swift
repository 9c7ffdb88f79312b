import Foundation

/// Where one tensor of a safetensors file lies.
public struct TensorInfo: Sendable, Equatable {
    public let name: String
    public let dtype: DType
    public let shape: [Int]
    /// Byte range inside the data section.
    public let range: Range<Int>

    public init(name: String, dtype: DType, shape: [Int], range: Range<Int>) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.range = range
    }

    /// The number of elements.
    public var count: Int { shape.reduce(1, *) }
}

/// A memory-mapped safetensors file: checked header, tensors by name.
///
/// Layout: eight bytes header length (little endian), a JSON header, the data section. The whole header is validated on
/// opening, so that no later access can leave the file: every tensor's byte range lies inside the data section and is as
/// long as its shape and type say.
public struct SafetensorsFile: Sendable {
    /// The longest header accepted, in bytes; the reference implementation has the same bound.
    public static let maximumHeaderLength = 100_000_000

    public let file: MappedFile
    /// Tensors by name.
    public let tensors: [String: TensorInfo]
    /// The file's `__metadata__`.
    public let metadata: [String: String]
    /// Offset of the data section in the file.
    public let dataOffset: Int

    /// Opens and checks a file.
    ///
    /// - Throws: ``SafetensorsError``: `inputOutput` when it cannot be mapped, `malformed` when it is not a whole
    ///   safetensors file.
    public init(path: String) throws { try self.init(file: MappedFile(path: path)) }

    /// Checks the bytes of a file.
    ///
    /// - Throws: ``SafetensorsError`` with code `malformed` when they are not a whole safetensors file.
    public init(file: MappedFile) throws {
        let path = file.path
        func malformed(_ message: String) -> SafetensorsError {
            SafetensorsError(.malformed, path: path, message)
        }
        guard file.byteCount >= 8 else {
            throw malformed("is not a safetensors file: \(file.byteCount) bytes, at least 8 expected")
        }
        let length = file.withBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        guard length <= Self.maximumHeaderLength else {
            throw malformed(file.withBytes { Self.other($0) } ?? "is not a safetensors file: its header claims \(length) bytes")
        }
        guard 8 + Int(length) <= file.byteCount else {
            throw malformed("is truncated: header of \(length) bytes in a file of \(file.byteCount)")
        }
        let dataOffset = 8 + Int(length)
        let dataCount = file.byteCount - dataOffset
        self.file = file
        self.dataOffset = dataOffset
        if let (tensors, metadata) = file.withBytes({ Self.quick(UnsafeRawBufferPointer(rebasing: $0[8..<dataOffset]), dataCount) }) {
            self.tensors = tensors
            self.metadata = metadata
            return
        }
        let header = file.withBytes { Data($0[8..<dataOffset]) }
        guard let object = try? JSONSerialization.jsonObject(with: header) as? [String: Any] else {
            throw malformed("is not a safetensors file: its header is not a JSON object")
        }
        var metadata: [String: String] = [:]
        var tensors: [String: TensorInfo] = [:]
        for (name, value) in object {
            if name == "__metadata__" {
                guard let strings = value as? [String: String] else {
                    throw malformed("__metadata__ must map strings to strings")
                }
                metadata = strings
                continue
            }
            tensors[name] = try Self.info(name, value, dataCount: dataCount, error: malformed)
        }
        self.tensors = tensors
        self.metadata = metadata
    }

    /// Tensors and metadata of a header as most writers make it; nil when it needs a closer look.
    private static func quick(
        _ header: UnsafeRawBufferPointer, _ dataCount: Int
    ) -> (tensors: [String: TensorInfo], metadata: [String: String])? {
        guard let fields = JSONReader.read(header)?.object else { return nil }
        var tensors: [String: TensorInfo] = [:]
        var metadata: [String: String] = [:]
        for (name, value) in fields {
            guard let entry = value.object else { return nil }
            if name == "__metadata__" {
                metadata = entry.compactMapValues(\.string)
                guard metadata.count == entry.count else { return nil }
                continue
            }
            guard let dtype = entry["dtype"]?.string, let shape = entry["shape"]?.list?.compactMap(\.integer),
                shape.count == entry["shape"]?.list?.count,
                let offsets = entry["data_offsets"]?.list?.compactMap(\.integer), offsets.count == 2,
                let info = try? info(name, dtype, shape, offsets, dataCount: dataCount, error: { Mismatch(message: $0) })
            else { return nil }
            tensors[name] = info
        }
        return (tensors, metadata)
    }

    /// What a file of another kind that is often taken for this one is, by its first bytes.
    private static func other(_ bytes: UnsafeRawBufferPointer) -> String? {
        func begins(_ text: String) -> Bool { bytes.starts(with: text.utf8) }
        if begins("PK\u{3}\u{4}") || bytes.starts(with: [0x80, 0x02]) { return "is a PyTorch file (pickle), not a safetensors file: convert it" }
        if begins("GGUF") { return "is a GGUF file, not a safetensors file" }
        if begins("version https://git-lfs") { return "is only a Git LFS pointer to a file: fetch the file itself ('git lfs pull')" }
        return nil
    }

    private struct Mismatch: Error { let message: String }

    private static func info(
        _ name: String, _ value: Any, dataCount: Int, error: (String) -> SafetensorsError
    ) throws -> TensorInfo {
        guard let entry = value as? [String: Any],
            let typeName = entry["dtype"] as? String,
            let shape = entry["shape"] as? [Int],
            let offsets = entry["data_offsets"] as? [Int], offsets.count == 2
        else { throw error("tensor '\(name)': dtype, shape and data_offsets expected") }
        return try info(name, typeName, shape, offsets, dataCount: dataCount, error: error)
    }

    private static func info(
        _ name: String, _ typeName: String, _ shape: [Int], _ offsets: [Int], dataCount: Int, error: (String) -> any Error
    ) throws -> TensorInfo {
        guard let dtype = DType(rawValue: typeName) else {
            throw error("tensor '\(name)': unknown element type '\(typeName)'")
        }
        var bytes = dtype.byteCount
        for size in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
            guard size >= 0, !overflow else { throw error("tensor '\(name)': impossible shape \(shape)") }
            bytes = product
        }
        guard offsets[0] >= 0, offsets[0] <= offsets[1], offsets[1] <= dataCount else {
            throw error("tensor '\(name)': bytes \(offsets[0])..<\(offsets[1]) of \(dataCount); the file is truncated or damaged")
        }
        guard offsets[1] - offsets[0] == bytes else {
            throw error("tensor '\(name)': \(offsets[1] - offsets[0]) bytes where shape \(shape) of \(dtype.rawValue) needs \(bytes)")
        }
        return TensorInfo(name: name, dtype: dtype, shape: shape, range: offsets[0]..<offsets[1])
    }

    /// The description of a tensor.
    ///
    /// - Throws: ``SafetensorsError`` with code `mismatch` when there is none of that name.
    public func info(_ name: String) throws -> TensorInfo {
        guard let info = tensors[name] else {
            let names = tensors.keys.sorted().prefix(5).joined(separator: ", ")
            throw SafetensorsError(.mismatch, path: file.path, "has no tensor '\(name)' (it has \(names)\(tensors.count > 5 ? ", …" : ""))")
        }
        return info
    }

    /// The raw bytes of a tensor, inside the closure.
    public func withBytes<R>(_ info: TensorInfo, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try file.withBytes {
            try body(UnsafeRawBufferPointer(rebasing: $0[(dataOffset + info.range.lowerBound)..<(dataOffset + info.range.upperBound)]))
        }
    }

    /// Where a tensor lies in the file, for ``MappedFile/prefetch(_:)`` and ``MappedFile/dropResidentPages(_:)``.
    public func fileRange(_ info: TensorInfo) -> Range<Int> {
        (dataOffset + info.range.lowerBound)..<(dataOffset + info.range.upperBound)
    }

    /// The elements of a tensor, copied.
    ///
    /// - Throws: ``SafetensorsError`` with code `mismatch` when it is missing, of another type, or when `shape` is given and differs.
    ///   A −1 in `shape` stands for any size.
    public func array<T: TensorElement>(_ name: String, of type: T.Type = T.self, shape: [Int]? = nil) throws -> [T] {
        let info = try info(name)
        guard info.dtype == T.dtype else {
            throw SafetensorsError(.mismatch, path: file.path, "tensor '\(name)' is \(info.dtype.rawValue), \(T.dtype.rawValue) expected")
        }
        try check(info, shape: shape)
        return withBytes(info) { source in
            [T](unsafeUninitializedCapacity: info.count) { buffer, count in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: source)
                count = info.count
            }
        }
    }

    /// Checks a tensor's shape; −1 stands for any size.
    public func check(_ info: TensorInfo, shape: [Int]?) throws {
        guard let shape else { return }
        guard shape.count == info.shape.count, zip(shape, info.shape).allSatisfy({ $0 == -1 || $0 == $1 }) else {
            throw SafetensorsError(.mismatch, path: file.path, "tensor '\(info.name)' has shape \(info.shape), \(shape) expected")
        }
    }
}
