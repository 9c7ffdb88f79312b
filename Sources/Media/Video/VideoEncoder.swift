import CFFmpeg

/// x264 behind a `Muxer`: RGB frames in, packets with exact stamps and durations out.
final class VideoEncoder {
    private let muxer: Muxer
    private let stream: UnsafeMutablePointer<AVStream>
    private let codec: UnsafeMutablePointer<AVCodecContext>
    private let filter: UnsafeMutablePointer<AVBSFContext>
    private let scaler: OpaquePointer?
    private let input: Frame
    private let packet: Packet
    private let size: FrameSize
    private let coded: FrameSize
    /// Encoder ticks per tick handed over: encoders count in 1/denominator seconds.
    private let scale: Int64
    /// The frame whose duration is known only when the next one comes.
    private var pending: Frame?
    private var durations: [Int64: Int64] = [:]
    private var lastDuration: Int64

    init(muxer: Muxer, size: FrameSize, timeBase: Rational, options: VideoWriter.Options) throws {
        let path = muxer.path
        let isLossless = options.codec == .lossless
        let name = isLossless ? "libx264rgb" : "libx264"
        guard let encoder = avcodec_find_encoder_by_name(name) else {
            throw MediaError(.unsupported, path: path, "this FFmpeg has no encoder \(name); install one built with x264")
        }
        guard let allocated = avcodec_alloc_context3(encoder) else {
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        var bitstreamFilter: UnsafeMutablePointer<AVBSFContext>?
        var scaler: OpaquePointer?
        var isComplete = false
        defer {
            if !isComplete {
                var codec: UnsafeMutablePointer<AVCodecContext>? = allocated
                avcodec_free_context(&codec)
                av_bsf_free(&bitstreamFilter)
                sws_freeContext(scaler)
            }
        }
        self.muxer = muxer
        self.size = size
        coded = isLossless ? size : FrameSize((size.width + 1) & ~1, (size.height + 1) & ~1)
        scale = timeBase.numerator
        let ticking = timeBase.reciprocal
        let rate = options.frameRate ?? (ticking <= Rational(120) ? ticking : Rational(30))
        lastDuration = max(1, (rate.reciprocal * Rational(timeBase.denominator)).rounded)

        allocated.pointee.width = Int32(coded.width)
        allocated.pointee.height = Int32(coded.height)
        allocated.pointee.pix_fmt = isLossless ? AV_PIX_FMT_BGR24 : AV_PIX_FMT_YUV420P
        allocated.pointee.time_base = AVRational(num: 1, den: Int32(timeBase.denominator))
        allocated.pointee.framerate = AVRational(rate)
        allocated.pointee.sample_aspect_ratio = AVRational(num: 1, den: 1)
        allocated.pointee.color_primaries = AVCOL_PRI_BT709
        allocated.pointee.color_trc = AVCOL_TRC_BT709
        allocated.pointee.colorspace = isLossless ? AVCOL_SPC_RGB : AVCOL_SPC_BT709
        allocated.pointee.color_range = isLossless ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG
        allocated.pointee.chroma_sample_location = isLossless ? AVCHROMA_LOC_UNSPECIFIED : AVCHROMA_LOC_LEFT
        // A key frame every two seconds keeps seeking quick.
        allocated.pointee.gop_size = Int32(clamping: max(1, (rate * Rational(2)).rounded))
        // Without B frames the order of decoding is the order of showing: MP4 has no place for the length of the last
        // frame otherwise, where frames stand at uneven distances.
        allocated.pointee.max_b_frames = 0
        // x264's output depends on how many threads it has: one, whatever the machine and however many the run may use.
        allocated.pointee.thread_count = 1
        allocated.pointee.flags |= AV_CODEC_FLAG_BITEXACT
        if muxer.wantsGlobalHeader { allocated.pointee.flags |= AV_CODEC_FLAG_GLOBAL_HEADER }
        var settings: OpaquePointer?
        defer { av_dict_free(&settings) }
        av_dict_set(&settings, "preset", isLossless ? "veryfast" : options.preset, 0)
        switch options.codec {
        case .h264(let crf):
            guard (0...51).contains(crf) else {
                throw MediaError(.invalidRequest, path: path, "crf is \(crf); it must be 0 to 51")
            }
            av_dict_set(&settings, "crf", "\(crf)", 0)
            av_dict_set(&settings, "profile", "high", 0)
        case .lossless:
            av_dict_set(&settings, "qp", "0", 0)
        }
        try check(avcodec_open2(allocated, encoder, &settings), path, "x264 refuses \(coded) with preset '\(options.preset)'")

        stream = try muxer.addStream()
        stream.pointee.time_base = allocated.pointee.time_base
        stream.pointee.avg_frame_rate = AVRational(rate)
        stream.pointee.sample_aspect_ratio = AVRational(num: 1, den: 1)
        try check(avcodec_parameters_from_context(stream.pointee.codecpar, allocated), path, "out of memory")
        try Self.setRotation(options.rotation, stream, path)

        // x264 signs its work in a message to the decoder (SEI): version and settings, which are nobody's business.
        try check(av_bsf_alloc(av_bsf_get_by_name("filter_units"), &bitstreamFilter), path, "cannot set up H.264")
        guard let bitstreamFilter else { throw MediaError(.inputOutput, path: path, "out of memory") }
        av_opt_set(bitstreamFilter.pointee.priv_data, "remove_types", "6", 0)
        try check(avcodec_parameters_copy(bitstreamFilter.pointee.par_in, stream.pointee.codecpar), path, "out of memory")
        bitstreamFilter.pointee.time_base_in = allocated.pointee.time_base
        try check(av_bsf_init(bitstreamFilter), path, "cannot set up H.264")
        try check(avcodec_parameters_copy(stream.pointee.codecpar, bitstreamFilter.pointee.par_out), path, "out of memory")

        scaler = sws_alloc_context()
        guard let scaler else { throw MediaError(.inputOutput, path: path, "out of memory") }
        try configureScaler(
            scaler,
            [
                ("srcw", coded.width), ("srch", coded.height), ("src_format", Int(AV_PIX_FMT_RGB24.rawValue)),
                ("src_range", 1), ("dstw", coded.width), ("dsth", coded.height),
                ("dst_format", Int(allocated.pointee.pix_fmt.rawValue)), ("dst_range", isLossless ? 1 : 0),
                ("dst_h_chr_pos", isLossless ? -513 : 0), ("dst_v_chr_pos", isLossless ? -513 : 128),
                ("sws_flags", scalerFlags),
            ], matrix: Int32(AVCOL_SPC_BT709.rawValue), sourceIsFull: true, targetIsFull: isLossless, path)

        input = try Frame(path: path)
        input.pointer.pointee.width = Int32(coded.width)
        input.pointer.pointee.height = Int32(coded.height)
        input.pointer.pointee.format = AV_PIX_FMT_RGB24.rawValue
        try check(av_frame_get_buffer(input.pointer, 0), path, "out of memory")
        packet = try Packet(path: path)
        codec = allocated
        filter = bitstreamFilter
        self.scaler = scaler
        isComplete = true
    }

    deinit {
        var codec: UnsafeMutablePointer<AVCodecContext>? = codec
        avcodec_free_context(&codec)
        var filter: UnsafeMutablePointer<AVBSFContext>? = filter
        av_bsf_free(&filter)
        sws_freeContext(scaler)
    }

    private static func setRotation(_ degrees: Int, _ stream: UnsafeMutablePointer<AVStream>, _ path: String) throws {
        guard [0, 90, 180, 270].contains(degrees) else {
            throw MediaError(.invalidRequest, path: path, "a rotation of \(degrees)° was asked for; it must be 0, 90, 180 or 270")
        }
        guard degrees != 0 else { return }
        let (cosine, sine): (Int32, Int32) = [90: (0, 1), 180: (-1, 0), 270: (0, -1)][degrees] ?? (1, 0)
        let one: Int32 = 1 << 16
        let matrix = [cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30]
        try check(cff_stream_set_display_matrix(stream, matrix), path, "out of memory")
    }

    func write(_ pixels: UnsafeRawBufferPointer, ticks: Int64) throws {
        let path = muxer.path
        fill(pixels)
        let frame = try Frame(path: path)
        frame.pointer.pointee.width = Int32(coded.width)
        frame.pointer.pointee.height = Int32(coded.height)
        frame.pointer.pointee.format = codec.pointee.pix_fmt.rawValue
        frame.pointer.pointee.color_range = codec.pointee.color_range
        frame.pointer.pointee.colorspace = codec.pointee.colorspace
        try check(av_frame_get_buffer(frame.pointer, 0), path, "out of memory")
        let converted = withPlanes(of: input.pointer) { source, sourceStrides in
            withPlanes(of: frame.pointer) { target, targetStrides in
                var planes = (0..<4).map { UnsafePointer(source[$0]) }
                return sws_scale(scaler, &planes, sourceStrides, 0, Int32(coded.height), target, targetStrides)
            }
        }
        try check(converted, path, "cannot convert a frame")
        let (scaled, overflow) = ticks.multipliedReportingOverflow(by: scale)
        guard !overflow else { throw MediaError(.invalidRequest, path: path, "time stamp \(ticks) is too large") }
        frame.pointer.pointee.pts = scaled
        if let pending { try encode(pending, until: frame.pointer.pointee.pts) }
        pending = frame
    }

    /// Copies a frame in, repeating the last column and row where the coded size is larger.
    private func fill(_ pixels: UnsafeRawBufferPointer) {
        guard let target = input.pointer.pointee.data.0 else { return }
        let stride = Int(input.pointer.pointee.linesize.0)
        copyRows(pixels, rowBytes: size.width * 3, rows: size.height, into: input.pointer)
        if coded.width > size.width {
            for row in 0..<size.height {
                let end = target + row * stride + size.width * 3
                end.update(from: end - 3, count: 3)
            }
        }
        if coded.height > size.height {
            (target + size.height * stride).update(from: target + (size.height - 1) * stride, count: coded.width * 3)
        }
    }

    private func encode(_ frame: Frame, until end: Int64) throws {
        lastDuration = max(1, end - frame.pointer.pointee.pts)
        durations[frame.pointer.pointee.pts] = lastDuration
        try check(avcodec_send_frame(codec, frame.pointer), muxer.path, "x264 refuses a frame")
        try drain()
    }

    func finish(end: Int64?) throws {
        if let pending {
            let (scaled, overflow) = (end ?? 0).multipliedReportingOverflow(by: scale)
            let pts = pending.pointer.pointee.pts
            try encode(pending, until: end == nil || overflow ? pts + lastDuration : scaled)
        }
        pending = nil
        try check(avcodec_send_frame(codec, nil), muxer.path, "x264 cannot finish")
        try drain()
        try pass(nil)
    }

    /// Takes what the encoder has ready.
    private func drain() throws {
        while true {
            let status = avcodec_receive_packet(codec, packet.pointer)
            if status == cff_error_again || status == cff_error_eof { return }
            try check(status, muxer.path, "x264 cannot encode")
            packet.pointer.pointee.duration = durations.removeValue(forKey: packet.pointer.pointee.pts) ?? lastDuration
            try pass(packet.pointer)
        }
    }

    private func pass(_ input: UnsafeMutablePointer<AVPacket>?) throws {
        try check(av_bsf_send_packet(filter, input), muxer.path, "cannot pass on H.264")
        while true {
            let status = av_bsf_receive_packet(filter, packet.pointer)
            if status == cff_error_again || status == cff_error_eof { return }
            try check(status, muxer.path, "cannot pass on H.264")
            try muxer.write(packet.pointer, stream: stream, from: codec.pointee.time_base)
        }
    }
}
