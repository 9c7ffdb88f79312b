import CFFmpeg
import Foundation

/// An opened media file: bytes through our own reader, so that neither a file name pattern, a URL nor a playlist
/// inside the file can make FFmpeg read anything else than this one file.
final class InputFile {
    let path: String
    let context: UnsafeMutablePointer<AVFormatContext>
    /// By how many bytes the file is shorter than its header says; 0 where that says nothing.
    let missingBytes: Int64
    private let source: ByteSource
    private let io: UnsafeMutablePointer<AVIOContext>

    convenience init(path: String) throws {
        try self.init(source: FileSource(path: path), path: path)
    }

    init(source: ByteSource, path: String) throws {
        _ = quietFFmpeg
        self.path = path
        self.source = source
        missingBytes = Self.missingBytes(source)
        let bufferSize: Int32 = 1 << 16
        guard let buffer = av_malloc(Int(bufferSize)) else {
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        // The context borrows `source`, which this object keeps alive for longer than the context.
        let opaque = Unmanaged.passUnretained(source).toOpaque()
        let io = avio_alloc_context(
            buffer.assumingMemoryBound(to: UInt8.self), bufferSize, 0, opaque,
            { opaque, buffer, size in
                guard let opaque, let buffer, size > 0 else { return cff_error_invalid_argument }
                let source = Unmanaged<ByteSource>.fromOpaque(opaque).takeUnretainedValue()
                let n = source.read(UnsafeMutableRawBufferPointer(start: buffer, count: Int(size)))
                return n > 0 ? Int32(n) : (n == 0 ? cff_error_eof : cff_error_io)
            }, nil,
            { opaque, offset, whence in
                guard let opaque else { return Int64(cff_error_invalid_argument) }
                let source = Unmanaged<ByteSource>.fromOpaque(opaque).takeUnretainedValue()
                return source.seek(offset, whence: whence & ~cff_seek_force)
            })
        guard let io else {
            av_free(buffer)
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        guard let allocated = avformat_alloc_context() else {
            Self.free(io)
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        allocated.pointee.pb = io
        cff_refuse_other_files(allocated)
        var context: UnsafeMutablePointer<AVFormatContext>? = allocated
        let status = avformat_open_input(&context, nil, nil, nil)
        guard status >= 0, let context else {
            Self.free(io)
            throw MediaError(
                .malformed, path: path,
                "not a media file that FFmpeg can read, or cut short (\(describe(status)), \(source.size) bytes); "
                    + "copy or record it again, or convert it with ffmpeg")
        }
        self.io = io
        self.context = context
        // Errors here leave streams without parameters, which show when a decoder is opened.
        _ = avformat_find_stream_info(context, nil)
    }

    deinit {
        var context: UnsafeMutablePointer<AVFormatContext>? = context
        avformat_close_input(&context)
        Self.free(io)
    }

    /// WAV and AVI begin with their length, which FFmpeg quietly corrects when a file is cut short.
    private static func missingBytes(_ source: ByteSource) -> Int64 {
        var head = [UInt8](repeating: 0, count: 8)
        let count = head.withUnsafeMutableBytes { source.read($0) }
        guard source.seek(0, whence: SEEK_SET) == 0, count == 8, head.starts(with: Array("RIFF".utf8)) else { return 0 }
        let claimed = head[4...].reversed().reduce(Int64(0)) { $0 << 8 | Int64($1) }
        // Programs that cannot go back to the header write the largest number.
        return claimed < 0x7FFF_0000 ? max(0, claimed + 8 - source.size) : 0
    }

    /// What the bytes of a still picture tell that FFmpeg does not; nil where they are none of a kind that is looked into, or very many.

    var pictureStructure: PictureStructure? {
        let place = source.seek(0, whence: SEEK_CUR)
        defer { _ = source.seek(place, whence: SEEK_SET) }
        guard place >= 0, source.seek(0, whence: SEEK_SET) == 0, (1...PictureStructure.largest).contains(source.size) else { return nil }
        func read(_ count: Int) -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                while filled < count {
                    let n = source.read(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...]))
                    guard n > 0 else { return }
                    filled += n
                }
            }
        }
        let head = read(min(12, Int(source.size)))
        guard let kind = PictureStructure.Kind(head: head) else { return nil }
        return PictureStructure(kind, head + read(Int(source.size) - head.count))
    }

    /// What `missingBytes` means, as a sentence; nil when there are none.
    var cutWarning: String? {
        missingBytes == 0 ? nil : "\(path): it is cut short: its header says that it has \(missingBytes) bytes more."
    }

    private static func free(_ io: UnsafeMutablePointer<AVIOContext>) {
        av_free(io.pointee.buffer)
        var io: UnsafeMutablePointer<AVIOContext>? = io
        avio_context_free(&io)
    }

    var formatName: String { context.pointee.iformat.flatMap { $0.pointee.name }.map { String(cString: $0) } ?? "?" }

    var hasTimeStamps: Bool {
        context.pointee.iformat.map { $0.pointee.flags & (AVFMT_NOTIMESTAMPS | AVFMT_GENERIC_INDEX) == 0 } ?? false
    }

    func stream(_ index: Int) -> UnsafeMutablePointer<AVStream>? {
        guard index >= 0, index < Int(context.pointee.nb_streams) else { return nil }
        return context.pointee.streams[index]
    }

    /// The stream FFmpeg deems best of a kind, cover pictures of sound files left aside; nil if there is none.
    func bestStream(_ kind: AVMediaType) -> Int? {
        let index = Int(av_find_best_stream(context, kind, -1, -1, nil, 0))
        guard let stream = stream(index) else { return nil }
        return stream.pointee.disposition & AV_DISPOSITION_ATTACHED_PIC == 0 ? index : nil
    }

    /// Time zero of the file: where its first picture or sound starts, but never before 0, since sound ahead of 0 is
    /// the encoder's run-in. A transport stream may start anywhere; an MP4 almost always at 0.
    var origin: Rational {
        var first: Rational?
        for index in 0..<Int(context.pointee.nb_streams) {
            guard let stream = stream(index), stream.pointee.start_time != cff_no_pts,
                let parameters = stream.pointee.codecpar,
                [AVMEDIA_TYPE_VIDEO, AVMEDIA_TYPE_AUDIO].contains(parameters.pointee.codec_type),
                stream.pointee.disposition & AV_DISPOSITION_ATTACHED_PIC == 0
            else { continue }
            let start = Rational(stream.pointee.start_time) * Rational(stream.pointee.time_base)
            first = min(first ?? start, start)
        }
        return max(first ?? .zero, .zero)
    }

    /// Length of the file in seconds as it claims, nil if unknown.
    var duration: Rational? {
        let value = context.pointee.duration
        return value == cff_no_pts || value <= 0 ? nil : Rational(value, 1_000_000)
    }
}

/// Where an `InputFile` gets its bytes; a class because FFmpeg's callbacks carry one pointer.
class ByteSource {
    var size: Int64 { 0 }
    /// Bytes read, 0 at the end, negative on an error.
    func read(_ buffer: UnsafeMutableRawBufferPointer) -> Int { 0 }
    func seek(_ offset: Int64, whence: Int32) -> Int64 { Int64(cff_error_invalid_argument) }

    /// The absolute position of a seek, or nil if it is nonsense.
    final func target(_ offset: Int64, _ whence: Int32, position: Int64) -> Int64? {
        let base: Int64
        switch whence {
        case SEEK_SET: base = 0
        case SEEK_CUR: base = position
        case SEEK_END: base = size
        default: return nil
        }
        let (sum, overflow) = base.addingReportingOverflow(offset)
        return overflow || sum < 0 ? nil : sum
    }
}

final class FileSource: ByteSource {
    private let descriptor: Int32
    private let length: Int64

    init(path: String) throws {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw MediaError(.inputOutput, path: path, "cannot open the file: \(String(cString: strerror(errno)))")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw MediaError(.inputOutput, path: path, "not a regular file; name one media file")
        }
        length = Int64(status.st_size)
        guard length > 0 else {
            close(descriptor)
            throw MediaError(.inputOutput, path: path, "the file is empty (0 bytes); copy or record it again")
        }
    }

    deinit { close(descriptor) }

    override var size: Int64 { length }

    override func read(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        while true {
            let n = Foundation.read(descriptor, buffer.baseAddress, buffer.count)
            if n < 0, errno == EINTR { continue }
            return n
        }
    }

    override func seek(_ offset: Int64, whence: Int32) -> Int64 {
        if whence == cff_seek_size { return length }
        guard let target = target(offset, whence, position: Int64(lseek(descriptor, 0, SEEK_CUR))) else {
            return Int64(cff_error_invalid_argument)
        }
        return Int64(lseek(descriptor, off_t(target), SEEK_SET))
    }
}

final class MemorySource: ByteSource {
    private let bytes: [UInt8]
    private var position: Int64 = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    override var size: Int64 { Int64(bytes.count) }

    override func read(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        let n = max(0, min(buffer.count, bytes.count - Int(position)))
        if n > 0 {
            bytes.withUnsafeBytes { buffer.copyMemory(from: .init(rebasing: $0[Int(position)..<Int(position) + n])) }
        }
        position += Int64(n)
        return n
    }

    override func seek(_ offset: Int64, whence: Int32) -> Int64 {
        if whence == cff_seek_size { return size }
        guard let target = target(offset, whence, position: position) else {
            return Int64(cff_error_invalid_argument)
        }
        position = target
        return target
    }
}
