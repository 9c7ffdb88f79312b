import CLinux
import Dispatch
import Foundation
import WholeFiles

/// Writes a safetensors file front to back, one tensor after another, without knowing their lengths beforehand.
///
/// A small file is kept in memory until it is finished and has a header of the size it needs. Of a larger one, room for the
/// header is reserved at the start and filled on ``finish(sync:)``; the rest of it is padded with spaces, which readers of
/// the format accept. Tensors lie in the file in the order they were begun.
public final class SafetensorsWriter {
    public let path: String
    /// The file's `__metadata__`; may be changed until it is finished.
    public var metadata: [String: String]

    private struct Entry {
        var name: String
        var dtype: DType
        var elementShape: [Int]?
        var shape: [Int]
        var range: Range<Int>
    }

    /// What ``finish(sync:inMemoryBelow:)`` made.
    public struct Finished: Sendable {
        /// The header as JSON with sorted keys, without length and padding.
        public let header: [UInt8]
        /// The whole file, if it was small enough to stay in memory; nil: it is at the path.
        public let contents: [UInt8]?
    }

    /// Data of up to this many bytes wait in memory, so that a small file is written in one go.
    private static let bufferLimit = 64 << 10
    /// Pieces of at least this many bytes are worth a second thread.
    private static let besideLimit = 1 << 20
    /// After so many bytes the disk is told to begin, so that little is left to wait for when the file is synced.
    private static let kickInterval = 8 << 20

    /// Whether large pieces are shown to `observe` on a second thread while they are written.
    public var observesBeside = false

    private let reserved: Int
    private let keeps: Bool
    private let willCreate: (() throws -> Void)?
    /// Negative while everything is in `buffer`.
    private var descriptor: Int32 = -1
    private var buffer: [UInt8] = []
    private var entries: [Entry] = []
    private var dataCount = 0
    private let observe: ((UnsafeRawBufferPointer) -> Void)?
    private lazy var observing = DispatchQueue(label: "understudy.observe", qos: .userInitiated)
    /// How many bytes were written to the file, and how many of these the disk was told to take.
    private var (written, kicked) = (0, 0)

    /// - Parameters:
    ///   - path: Where the file goes; none must be there.
    ///   - headerCapacity: Bytes reserved for the header of a large file; it must hold metadata and the list of tensors.
    ///   - keeps: False for a writer that shows all bytes to `observe` and leaves no file.
    ///   - willCreate: Called before the file is created, for instance to make its folder.
    ///   - observe: Sees every byte of the data section in order, so that a digest costs no second pass.
    public init(
        path: String, metadata: [String: String] = [:], headerCapacity: Int = 4096, keeps: Bool = true,
        willCreate: (() throws -> Void)? = nil, observe: ((UnsafeRawBufferPointer) -> Void)? = nil
    ) throws {
        self.path = path
        self.metadata = metadata
        self.willCreate = willCreate
        self.observe = observe
        let metadataBytes = metadata.reduce(0) { $0 + $1.key.utf8.count + 2 * $1.value.utf8.count + 8 }
        self.reserved = (headerCapacity + metadataBytes + 7) / 8 * 8
        self.keeps = keeps
        guard !keeps else { return }
        descriptor = open("/dev/null", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw SafetensorsError(.inputOutput, path: path, "cannot open /dev/null: \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
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
    /// - Throws: ``SafetensorsError`` when the header outgrew its room or the disk is full.
    public func finish(sync: Bool) throws { _ = try finish(sync: sync, inMemoryBelow: 0) }

    /// Writes the header and closes the file, or gives the file's bytes if they are few.
    ///
    /// - Parameter limit: A file of fewer bytes, all told, is not created.
    /// - Throws: ``SafetensorsError`` when the header outgrew its room or the disk is full.
    public func finish(sync: Bool, inMemoryBelow limit: Int) throws -> Finished {
        let json = try headerJSON()
        if descriptor < 0 {
            let contents = Self.header(json, count: (json.count + 7) / 8 * 8) + buffer
            if contents.count < limit { return Finished(header: json, contents: contents) }
            try create()
            try contents.withUnsafeBytes { try writeAll($0) }
        } else {
            guard json.count <= reserved else {
                throw SafetensorsError(.inputOutput, path: path, "header of \(json.count) bytes outgrew the \(reserved) reserved; raise headerCapacity")
            }
            guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw failure("seek") }
            try Self.header(json, count: reserved).withUnsafeBytes { try writeAll($0) }
        }
        if sync, keeps, fsync(descriptor) != 0 { throw failure("sync") }
        defer { descriptor = -1 }
        guard close(descriptor) == 0 else { throw failure("close") }
        return Finished(header: json, contents: nil)
    }

    /// The header, as `JSONSerialization` writes it with sorted keys: digests are taken of that form. (Values are made by the thousand, and
    /// small: an encoder takes longer than all the rest.)
    private func headerJSON() throws -> [UInt8] {
        var json: [UInt8] = []
        json.reserveCapacity(160 * (entries.count + 1) + metadata.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count * 5 / 4 })
        let keys = metadata.isEmpty ? [] : Array(metadata.keys)
        try Self.append(object: entries.map(\.name) + (keys.isEmpty ? [] : ["__metadata__"]), to: &json) { index, json in
            guard index < entries.count else {
                return try Self.append(object: keys, to: &json) { try Self.append(quoted: metadata[keys[$0]] ?? "", to: &$1) }
            }
            let entry = entries[index]
            json += "{\"data_offsets\":".utf8
            Self.append([entry.range.lowerBound, entry.range.upperBound], to: &json)
            json += ",\"dtype\":\"".utf8
            json += entry.dtype.rawValue.utf8
            json += "\",\"shape\":".utf8
            Self.append(entry.shape, to: &json)
            json.append(UInt8(ascii: "}"))
        }
        return json
    }

    private static func append(_ numbers: [Int], to json: inout [UInt8]) {
        json.append(UInt8(ascii: "["))
        for (index, number) in numbers.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            json += String(number).utf8
        }
        json.append(UInt8(ascii: "]"))
    }

    /// - Parameter value: Appends the value of the key of a number.
    private static func append(
        object keys: [String], to json: inout [UInt8], value: (_ index: Int, _ json: inout [UInt8]) throws -> Void
    ) throws {
        // Plain names need no collation.
        let arePlain =
            keys.allSatisfy { $0 == "__metadata__" || $0.utf8.allSatisfy { (97...122).contains($0) } }
            || keys.allSatisfy { $0.utf8.allSatisfy { (97...122).contains($0) || $0 == UInt8(ascii: ".") } }
        let order = keys.indices.sorted {
            arePlain
                ? keys[$0] < keys[$1]
                : keys[$0].compare(keys[$1], options: [.numeric, .caseInsensitive, .forcedOrdering], locale: Locale(identifier: ""))
                    == .orderedAscending
        }
        json.append(UInt8(ascii: "{"))
        for (place, index) in order.enumerated() {
            if place > 0 { json.append(UInt8(ascii: ",")) }
            try append(quoted: keys[index], to: &json)
            json.append(UInt8(ascii: ":"))
            try value(index, &json)
        }
        json.append(UInt8(ascii: "}"))
    }

    private static func append(quoted text: String, to json: inout [UInt8]) throws {
        if text.utf8.contains(where: { $0 < 0x20 }) {
            let list = try JSONSerialization.data(withJSONObject: [text], options: [.withoutEscapingSlashes])
            json += list.dropFirst().dropLast()
            return
        }
        json.append(0x22)
        for byte in text.utf8 {
            if byte == 0x22 || byte == 0x5C { json.append(0x5C) }
            json.append(byte)
        }
        json.append(0x22)
    }

    /// Length, JSON and padding.
    private static func header(_ json: [UInt8], count: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt64(count).littleEndian) { Array($0) } + json + [UInt8](repeating: 0x20, count: count - json.count)
    }

    private func create() throws {
        try willCreate?()
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw SafetensorsError(.inputOutput, path: path, "cannot create the file: \(SystemReason.text(errno))")
        }
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws {
        if descriptor < 0, dataCount + bytes.count <= Self.bufferLimit {
            buffer += bytes
        } else {
            if descriptor < 0 {
                try create()
                try ([UInt8](repeating: 0x20, count: 8 + reserved) + buffer).withUnsafeBytes { try writeAll($0) }
                buffer = []
            }
            if let observe, observesBeside, bytes.count >= Self.besideLimit {
                try withoutActuallyEscaping(observe) { observe in
                    // Safe: it has seen the bytes before this function returns.
                    nonisolated(unsafe) let (observe, bytes) = (observe, bytes)
                    let seen = DispatchGroup()
                    observing.async(group: seen) { observe(bytes) }
                    defer { seen.wait() }
                    try writeAll(bytes)
                }
                dataCount += bytes.count
                return
            }
            try writeAll(bytes)
        }
        observe?(bytes)
        dataCount += bytes.count
    }

    private func writeAll(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            let written = Foundation.write(descriptor, base, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw failure("write") }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            self.written += written
        }
        guard keeps, written - kicked >= Self.kickInterval else { return }
        begin_writeback(descriptor, Int64(kicked), Int64(written - kicked))
        kicked = written
    }

    private func failure(_ verb: String) -> SafetensorsError { .refused(verb, path: path) }
}
