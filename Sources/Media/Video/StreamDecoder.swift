import CFFmpeg

/// Decoded frames of one stream of a file, in presentation order. Damaged packets are skipped and counted.
final class StreamDecoder {
    let file: InputFile
    let index: Int
    let stream: UnsafeMutablePointer<AVStream>
    let codec: UnsafeMutablePointer<AVCodecContext>
    private let packet: Packet
    private var isDraining = false
    /// Time stamps and durations in order of presentation, when only those are asked for; the next one last.
    private var stamps: [(time: Int64, duration: Int64)]?
    /// Packets or frames that the decoder refused or had to patch up.
    private(set) var damaged = 0
    /// What reading broke off with, if it was not the regular end of the file.
    private(set) var readError: Int32?

    /// - Parameters:
    ///   - threads: decoding threads; the frames do not depend on it unless the file is damaged.
    ///   - refusesDamage: whether a JPEG that had to be patched up counts as damaged.
    init(file: InputFile, index: Int, threads: Int, refusesDamage: Bool = false) throws {
        let path = file.path
        guard let stream = file.stream(index), let parameters = stream.pointee.codecpar else {
            throw MediaError(.noStream, path: path, "the file has no stream \(index)")
        }
        let name = String(cString: avcodec_get_name(parameters.pointee.codec_id))
        guard let decoder = avcodec_find_decoder(parameters.pointee.codec_id) else {
            throw MediaError(.unsupported, path: path, "this FFmpeg has no decoder for '\(name)'; convert the file with ffmpeg")
        }
        guard let allocated = avcodec_alloc_context3(decoder) else {
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        var status = avcodec_parameters_to_context(allocated, parameters)
        if status >= 0 {
            allocated.pointee.pkt_timebase = stream.pointee.time_base
            allocated.pointee.thread_count = Int32(clamping: max(1, threads))
            allocated.pointee.max_pixels = 1 << 28
            // Of other formats this would refuse metadata that nobody looks at.
            if refusesDamage, parameters.pointee.codec_id == AV_CODEC_ID_MJPEG { allocated.pointee.err_recognition |= AV_EF_EXPLODE }
            status = avcodec_open2(allocated, decoder, nil)
        }
        guard status >= 0 else {
            var codec: UnsafeMutablePointer<AVCodecContext>? = allocated
            avcodec_free_context(&codec)
            throw MediaError(.malformed, path: path, "cannot decode its '\(name)' stream: \(describe(status))")
        }
        self.file = file
        self.index = index
        self.stream = stream
        codec = allocated
        do { packet = try Packet(path: path) } catch {
            var codec: UnsafeMutablePointer<AVCodecContext>? = allocated
            avcodec_free_context(&codec)
            throw error
        }
        // Packets of other streams would only be read and thrown away.
        for other in 0..<Int(file.context.pointee.nb_streams) where other != index {
            file.stream(other)?.pointee.discard = AVDISCARD_ALL
        }
    }

    deinit {
        var codec: UnsafeMutablePointer<AVCodecContext>? = codec
        avcodec_free_context(&codec)
    }

    var timeBase: Rational { Rational(stream.pointee.time_base) }

    /// Makes ``next(into:)`` give the frames' times without decoding them, as the packets tell them.
    ///
    /// - Throws: `MediaError` when a packet has no time stamp.
    func readStampsOnly() throws {
        var stamps: [(time: Int64, duration: Int64)] = []
        while av_read_frame(file.context, packet.pointer) >= 0 {
            defer { av_packet_unref(packet.pointer) }
            let packet = packet.pointer.pointee
            guard Int(packet.stream_index) == index, packet.flags & AV_PKT_FLAG_DISCARD == 0 else { continue }
            guard packet.pts != cff_no_pts else {
                throw MediaError(.unsupported, path: file.path, "its packets carry no time stamps")
            }
            stamps.append((packet.pts, packet.duration))
        }
        self.stamps = stamps.sorted { $0.time > $1.time }
    }

    /// Decodes the next frame into `frame`; false at the end.
    func next(into frame: UnsafeMutablePointer<AVFrame>) throws -> Bool {
        if stamps != nil {
            guard let stamp = stamps?.popLast() else { return false }
            frame.pointee.best_effort_timestamp = stamp.time
            cff_set_frame_duration(frame, stamp.duration)
            frame.pointee.width = stream.pointee.codecpar.pointee.width
            frame.pointee.height = stream.pointee.codecpar.pointee.height
            return true
        }
        var refusals = 0
        while true {
            let status = avcodec_receive_frame(codec, frame)
            if status >= 0 {
                if frame.pointee.decode_error_flags != 0 || frame.pointee.flags & AV_FRAME_FLAG_CORRUPT != 0 {
                    damaged += 1
                }
                return true
            }
            if status == cff_error_eof { return false }
            if status == cff_error_no_memory {
                throw MediaError(.inputOutput, path: file.path, "out of memory while decoding")
            }
            if status != cff_error_again {
                damaged += 1
                refusals += 1
            }
            if isDraining {
                // A decoder that keeps failing after its last packet is given up.
                if status == cff_error_again || refusals > 64 { return false }
                continue
            }
            try feed()
        }
    }

    /// Sends the stream's next packet, or the end of the stream.
    private func feed() throws {
        while true {
            let status = av_read_frame(file.context, packet.pointer)
            if status < 0 {
                if status != cff_error_eof { readError = status }
                isDraining = true
                _ = avcodec_send_packet(codec, nil)
                return
            }
            defer { av_packet_unref(packet.pointer) }
            guard Int(packet.pointer.pointee.stream_index) == index else { continue }
            let sent = avcodec_send_packet(codec, packet.pointer)
            if sent < 0, sent != cff_error_again { damaged += 1 }
            return
        }
    }

    /// Goes to the last key frame at or before `timestamp` (in the stream's time base); false if the file cannot.
    func seek(to timestamp: Int64) -> Bool {
        guard stamps == nil, av_seek_frame(file.context, Int32(index), timestamp, AVSEEK_FLAG_BACKWARD) >= 0 else { return false }
        avcodec_flush_buffers(codec)
        isDraining = false
        readError = nil
        return true
    }
}
