import Foundation

/// Writes a safetensors file front to back, one tensor after another, without knowing their lengths beforehand.
///
/// Room for the header is reserved at the start and filled on ``finish(sync:)``; the rest of it is padded with spaces, which
/// readers of the format accept. Tensors lie in the file in the order they were begun.
public final class SafetensorsWriter {
    public let path: String
    /// The file's `__metadata__`; may be changed until ``finish(sync:)``.
    public var metadata: [String: String]

    private struct Entry {
        var name: String
        var dtype: DType
        var elementShape: [Int]?
        var shape: [Int]
        var range: Range<Int>
    }

    private let reserved: Int
    private let keeps: Bool
    private let descriptor: Int32
    private var entries: [Entry] = []
    private var dataCount = 0
    private let observe: ((UnsafeRawBufferPointer) -> Void)?
    private var isClosed = false

    /// Creates the file (it must not exist).
    ///
    /// - Parameters:
    ///   - headerCapacity: Bytes reserved for the header; it must hold metadata and the list of tensors.
    ///   - keeps: False for a writer that shows all bytes to `observe` and leaves no file.
    ///   - observe: Sees every byte of the data section in order, so that a digest costs no second pass.
    public init(
        path: String, metadata: [String: String] = [:], headerCapacity: Int = 4096, keeps: Bool = true,
        observe: ((UnsafeRawBufferPointer) -> Void)? = nil
    ) throws {
        self.path = path
        self.metadata = metadata
        self.observe = observe
        let metadataBytes = metadata.reduce(0) { $0 + $1.key.utf8.count + 2 * $1.value.utf8.count + 8 }
        self.reserved = (headerCapacity + metadataBytes + 7) / 8 * 8
        self.keeps = keeps
        descriptor = keeps ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644) : open("/dev/null", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw SafetensorsError(.inputOutput, path: path, "cannot create the file: \(String(cString: strerror(errno)))")
        }
        try writeAll([UInt8](repeating: 0x20, count: 8 + reserved))
    }

    deinit {
        if !isClosed { close(descriptor) }
    }

    /// Begins a tensor whose first dimension grows with every ``append(_:)-(UnsafeRawBufferPointer)``.
    ///
    /// - Parameter elementShape: The shape of one element along the first dimension, for instance `[height, width, 3]`.
    public func begin(_ name: String, dtype: DType, elementShape: [Int]) {
        precondition(!entries.contains { $0.name == name }, "tensor '\(name)' is written twice")
        // Readers expect aligned tensors; padding would be a gap the format forbids, so writers begin wide types first.
        entries.append(Entry(name: name, dtype: dtype, elementShape: elementShape, shape: [0] + elementShape, range: dataCount..<dataCount))
    }

    /// Appends whole elements to the tensor begun last.
    public func append(_ bytes: UnsafeRawBufferPointer) throws {
        guard var entry = entries.last, let elementShape = entry.elementShape else {
            preconditionFailure("append without begin")
        }
        let size = elementShape.reduce(entry.dtype.byteCount, *)
        precondition(size > 0 && bytes.count % size == 0, "append takes whole elements of \(size) bytes")
        try write(bytes)
        entry.shape[0] += bytes.count / size
        entry.range = entry.range.lowerBound..<dataCount
        entries[entries.count - 1] = entry
    }

    /// Appends whole elements to the tensor begun last.
    public func append<T: TensorElement>(_ elements: [T]) throws {
        try elements.withUnsafeBytes { try append($0) }
    }

    /// Writes a whole tensor.
    public func write<T: TensorElement>(_ name: String, _ elements: [T], shape: [Int]) throws {
        try elements.withUnsafeBytes { try write(name, dtype: T.dtype, bytes: $0, shape: shape) }
    }

    /// Writes a whole tensor of raw bytes.
    public func write(_ name: String, dtype: DType, bytes: UnsafeRawBufferPointer, shape: [Int]) throws {
        precondition(shape.reduce(dtype.byteCount, *) == bytes.count, "tensor '\(name)': \(bytes.count) bytes for shape \(shape)")
        precondition(!entries.contains { $0.name == name }, "tensor '\(name)' is written twice")
        let start = dataCount
        try write(bytes)
        entries.append(Entry(name: name, dtype: dtype, elementShape: nil, shape: shape, range: start..<dataCount))
    }

    /// Writes the header and closes the file.
    ///
    /// - Returns: The header's bytes as they stand in the file (length prefix and padding included).
    /// - Throws: ``SafetensorsError`` when the header outgrew its room or the disk is full.
    @discardableResult
    public func finish(sync: Bool) throws -> [UInt8] {
        var object: [String: Any] = [:]
        for entry in entries {
            object[entry.name] = [
                "dtype": entry.dtype.rawValue, "shape": entry.shape,
                "data_offsets": [entry.range.lowerBound, entry.range.upperBound],
            ]
        }
        if !metadata.isEmpty { object["__metadata__"] = metadata }
        let json = try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])
        guard json.count <= reserved else {
            throw SafetensorsError(.inputOutput, path: path, "header of \(json.count) bytes outgrew the \(reserved) reserved; raise headerCapacity")
        }
        var header = withUnsafeBytes(of: UInt64(reserved).littleEndian) { Array($0) }
        header += json
        header += [UInt8](repeating: 0x20, count: reserved - json.count)
        guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw failure("seek") }
        try writeAll(header)
        if sync, keeps, fsync(descriptor) != 0 { throw failure("sync") }
        isClosed = true
        guard close(descriptor) == 0 else { throw failure("close") }
        return header
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws {
        try writeAll(bytes)
        observe?(bytes)
        dataCount += bytes.count
    }

    private func writeAll(_ bytes: some Collection<UInt8>) throws {
        try Array(bytes).withUnsafeBytes { try writeAll($0) }
    }

    private func writeAll(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            let written = Foundation.write(descriptor, base, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw failure("write") }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }

    private func failure(_ verb: String) -> SafetensorsError {
        let reason = String(cString: strerror(errno))
        return SafetensorsError(.inputOutput, path: path, "cannot \(verb): \(reason)\(errno == ENOSPC ? "; free some disk space, or move the cache with --cache" : "")")
    }
}
