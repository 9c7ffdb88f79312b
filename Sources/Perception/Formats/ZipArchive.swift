import CZlib
import Foundation
import WholeFiles

/// A zip file in memory: names and contents of its entries, stored or deflated (what `.npz` files and folders sent as one
/// file are made of). Zip64 sizes are understood; encryption and other methods are refused.
public struct ZipArchive: Sendable {
    /// Larger entries are refused before any memory is taken, bytes.
    public static let maximumEntrySize = 4 << 30

    private struct Entry {
        var name: String
        var method: Int
        var compressed: Int
        var size: Int
        var headerOffset: Int
    }

    private let data: Data
    private let path: String
    private let entries: [String: Entry]

    /// Entry names in alphabetical order, folders left out.
    public var names: [String] { entries.keys.sorted() }

    /// Reads the directory at the end of the file.
    ///
    /// - Throws: ``PerceptionError`` when the file cannot be read or is no whole zip file.
    public init(path: String) throws {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        } catch {
            throw PerceptionError("'\(path)' cannot be read: \(SystemReason.text(of: error, withPath: false))")
        }
        func fail(_ what: String) -> PerceptionError { PerceptionError("'\(path)' is not a whole zip file: \(what)") }
        // The end record stands before a comment of at most 65 535 bytes.
        guard data.count >= 22 else { throw fail("\(data.count) bytes") }
        var end = data.count - 22
        let lowest = max(0, data.count - 22 - 65_535)
        while end > lowest, Self.u32(data, end) != 0x0605_4b50 { end -= 1 }
        guard Self.u32(data, end) == 0x0605_4b50 else { throw fail("its directory is missing") }
        var count = Self.u16(data, end + 10)
        var offset = Self.u32(data, end + 16)
        if end >= 20, Self.u32(data, end - 20) == 0x0706_4b50 {
            let record = Self.u64(data, end - 20 + 8)
            guard let record, record >= 0, record + 56 <= data.count, Self.u32(data, record) == 0x0606_4b50,
                let total = Self.u64(data, record + 32), let start = Self.u64(data, record + 48)
            else { throw fail("its 64-bit directory is damaged") }
            count = total
            offset = start
        }
        guard count <= 1_000_000 else { throw fail("it claims \(count) entries") }
        var entries: [String: Entry] = [:]
        var at = offset
        for _ in 0..<count {
            guard at >= 0, at + 46 <= data.count, Self.u32(data, at) == 0x0201_4b50 else {
                throw fail("its directory ends early")
            }
            let (nameLength, extraLength, commentLength) = (
                Self.u16(data, at + 28), Self.u16(data, at + 30), Self.u16(data, at + 32)
            )
            guard at + 46 + nameLength + extraLength + commentLength <= data.count else { throw fail("a name runs past its end") }
            let name = String(decoding: Self.bytes(data, at + 46, nameLength), as: UTF8.self)
            var entry = Entry(
                name: name, method: Self.u16(data, at + 10), compressed: Self.u32(data, at + 20),
                size: Self.u32(data, at + 24), headerOffset: Self.u32(data, at + 42))
            Self.read64(&entry, data, at + 46 + nameLength, extraLength)
            guard Self.u16(data, at + 8) & 1 == 0 else { throw PerceptionError("'\(path)': '\(name)' is encrypted") }
            if !name.hasSuffix("/") { entries[name] = entry }
            at += 46 + nameLength + extraLength + commentLength
        }
        self.data = data
        self.path = path
        self.entries = entries
    }

    /// The bytes of an entry.
    ///
    /// - Throws: ``PerceptionError`` when there is none, or it is damaged.
    public func contents(of name: String) throws -> [UInt8] {
        guard let entry = entries[name] else { throw PerceptionError("'\(path)' holds no '\(name)'") }
        let at = entry.headerOffset
        guard at >= 0, at + 30 <= data.count, Self.u32(data, at) == 0x0403_4b50 else {
            throw PerceptionError("'\(path)': the header of '\(name)' is damaged")
        }
        let start = at + 30 + Self.u16(data, at + 26) + Self.u16(data, at + 28)
        guard entry.size <= Self.maximumEntrySize, entry.compressed >= 0, start <= data.count,
            entry.compressed <= data.count - start
        else { throw PerceptionError("'\(path)': '\(name)' runs past the end of the file") }
        let packed = Self.bytes(data, start, entry.compressed)
        switch entry.method {
        case 0:
            guard packed.count == entry.size else { throw PerceptionError("'\(path)': '\(name)' has the wrong length") }
            return packed
        case 8: return try inflated(packed, size: entry.size, name: name)
        default:
            throw PerceptionError("'\(path)': '\(name)' is packed by method \(entry.method); stored and deflated entries are read")
        }
    }

    private func inflated(_ packed: [UInt8], size: Int, name: String) throws -> [UInt8] {
        // Deflate packs at most about 1032 to 1: a larger claim is damage, not data.
        guard size <= packed.count * 1100 + 64 else {
            throw PerceptionError("'\(path)': '\(name)' claims \(size) bytes packed into \(packed.count)")
        }
        var stream = z_stream()
        // −15: a bare deflate stream without zlib's own header.
        guard inflateInit2_(&stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw PerceptionError("zlib could not start")
        }
        defer { inflateEnd(&stream) }
        var packed = packed
        var written = 0
        var status = Z_OK
        let out = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            packed.withUnsafeMutableBufferPointer { input in
                // zlib counts in 32 bits: both sides are handed over in pieces. The pointers live only in this closure.
                var consumed = 0
                while status == Z_OK {
                    let take = min(input.count - consumed, 1 << 30)
                    let room = min(size - written, 1 << 30)
                    stream.next_in = input.baseAddress.map { $0 + consumed }
                    stream.avail_in = UInt32(take)
                    stream.next_out = buffer.baseAddress.map { $0 + written }
                    stream.avail_out = UInt32(room)
                    status = inflate(&stream, Z_NO_FLUSH)
                    let (used, made) = (take - Int(stream.avail_in), room - Int(stream.avail_out))
                    consumed += used
                    written += made
                    if status == Z_OK, used == 0, made == 0 { status = Z_BUF_ERROR }
                }
            }
            count = written
        }
        guard status == Z_STREAM_END, out.count == size else {
            throw PerceptionError("'\(path)': '\(name)' is damaged: \(out.count) of \(size) bytes came out")
        }
        return out
    }

    // MARK: Little-endian fields; 0 outside the file.

    private static func bytes(_ data: Data, _ at: Int, _ count: Int) -> [UInt8] {
        let start = data.startIndex + at
        return [UInt8](data[start..<(start + count)])
    }

    private static func u16(_ data: Data, _ at: Int) -> Int {
        guard at >= 0, at + 2 <= data.count else { return 0 }
        return Int(data[data.startIndex + at]) | Int(data[data.startIndex + at + 1]) << 8
    }

    private static func u32(_ data: Data, _ at: Int) -> Int { u16(data, at) | u16(data, at + 2) << 16 }

    private static func u64(_ data: Data, _ at: Int) -> Int? {
        guard at >= 0, at + 8 <= data.count else { return nil }
        return Int(exactly: UInt64(u32(data, at)) | UInt64(u32(data, at + 4)) << 32)
    }

    /// Fields that did not fit 32 bits stand in an extra record, in a fixed order.
    private static func read64(_ entry: inout Entry, _ data: Data, _ start: Int, _ length: Int) {
        var at = start
        while at + 4 <= start + length {
            let (kind, size) = (u16(data, at), u16(data, at + 2))
            if kind == 1 {
                var field = at + 4
                func next(_ value: Int) -> Int {
                    guard value == 0xffff_ffff else { return value }
                    defer { field += 8 }
                    return field + 8 <= at + 4 + size ? u64(data, field) ?? -1 : -1
                }
                entry.size = next(entry.size)
                entry.compressed = next(entry.compressed)
                entry.headerOffset = next(entry.headerOffset)
            }
            at += 4 + size
        }
    }
}
