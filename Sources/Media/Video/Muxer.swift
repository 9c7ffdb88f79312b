import CFFmpeg
import Foundation

/// The MP4 file that encoders write their packets to.
final class Muxer {
    let path: String
    let context: UnsafeMutablePointer<AVFormatContext>
    private var isOpen = false

    init(path: String) throws {
        self.path = path
        var context: UnsafeMutablePointer<AVFormatContext>?
        // The prefix keeps a name with a colon from being taken for a URL.
        let status = avformat_alloc_output_context2(&context, nil, "mp4", "file:" + path)
        guard status >= 0, let context else {
            throw MediaError(.unsupported, path: path, "this FFmpeg cannot write MP4: \(describe(status))")
        }
        self.context = context
        context.pointee.flags |= AVFMT_FLAG_BITEXACT
        let opened = avio_open(&context.pointee.pb, "file:" + path, AVIO_FLAG_WRITE)
        guard opened >= 0 else {
            // (All properties are set: `deinit` frees the context.)
            throw MediaError(.inputOutput, path: path, "cannot create the file: \(describe(opened))")
        }
    }

    deinit {
        avio_closep(&context.pointee.pb)
        avformat_free_context(context)
    }

    var wantsGlobalHeader: Bool {
        context.pointee.oformat.map { $0.pointee.flags & AVFMT_GLOBALHEADER != 0 } ?? false
    }

    func addStream() throws -> UnsafeMutablePointer<AVStream> {
        guard let stream = avformat_new_stream(context, nil) else {
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        return stream
    }

    /// Writes the header. The movie's own clock ticks as fine as the film's, or edit lists would be rounded to 1 ms.
    func begin(movieTimescale: Int64) throws {
        var options: OpaquePointer?
        defer { av_dict_free(&options) }
        av_dict_set(&options, "movflags", "+faststart", 0)
        av_dict_set_int(&options, "movie_timescale", max(1000, movieTimescale), 0)
        try check(avformat_write_header(context, &options), path, "cannot write the file", .inputOutput)
        isOpen = true
    }

    func write(_ packet: UnsafeMutablePointer<AVPacket>, stream: UnsafeMutablePointer<AVStream>, from base: AVRational) throws {
        av_packet_rescale_ts(packet, base, stream.pointee.time_base)
        packet.pointee.stream_index = stream.pointee.index
        try check(av_interleaved_write_frame(context, packet), path, "cannot write the file", .inputOutput)
    }

    func finish() throws {
        try check(av_write_trailer(context), path, "cannot complete the file", .inputOutput)
        isOpen = false
        try check(avio_closep(&context.pointee.pb), path, "cannot complete the file", .inputOutput)
    }

    func cancel() {
        avio_closep(&context.pointee.pb)
        unlink(path)
    }
}
