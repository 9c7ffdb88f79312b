import CFFmpeg

/// AAC behind a `Muxer`: interleaved f32 samples in, placed on the film's timeline.
final class AudioEncoder {
    private let muxer: Muxer
    private let stream: UnsafeMutablePointer<AVStream>
    private let codec: UnsafeMutablePointer<AVCodecContext>
    private let resampler: AudioResampler?
    private let frame: Frame
    private let packet: Packet
    private let channels: Int
    private let frameLength: Int
    /// Samples not yet encoded, interleaved, at the codec's rate.
    private var waiting: [Float] = []
    /// Input samples still to be dropped since they lie before the film's start.
    private var toDrop: Int
    /// Input sample frames taken, and output sample frames due from them and made.
    private var consumed: Int64 = 0
    private var produced: Int64 = 0
    private var encoded: Int64 = 0

    init(muxer: Muxer, _ audio: VideoWriter.Audio) throws {
        let path = muxer.path
        guard (1...2).contains(audio.channels), (1000...768_000).contains(audio.sampleRate) else {
            throw MediaError(
                .invalidRequest, path: path, "sound of \(audio.channels) channels at \(audio.sampleRate) Hz cannot be written")
        }
        guard let encoder = avcodec_find_encoder(AV_CODEC_ID_AAC) else {
            throw MediaError(.unsupported, path: path, "this FFmpeg has no AAC encoder")
        }
        let known = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000]
        let rate = known.contains(audio.sampleRate) ? audio.sampleRate : 48000
        var layout = AVChannelLayout()
        av_channel_layout_default(&layout, Int32(audio.channels))
        guard let allocated = avcodec_alloc_context3(encoder) else {
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        var isComplete = false
        defer {
            if !isComplete {
                var codec: UnsafeMutablePointer<AVCodecContext>? = allocated
                avcodec_free_context(&codec)
            }
        }
        allocated.pointee.sample_rate = Int32(rate)
        allocated.pointee.sample_fmt = AV_SAMPLE_FMT_FLTP
        allocated.pointee.ch_layout = layout
        // No more bits than AAC can spend at this rate.
        allocated.pointee.bit_rate = Int64(min(audio.bitRate, 6 * rate * audio.channels))
        allocated.pointee.time_base = AVRational(num: 1, den: Int32(rate))
        allocated.pointee.thread_count = 1
        allocated.pointee.flags |= AV_CODEC_FLAG_BITEXACT
        if muxer.wantsGlobalHeader { allocated.pointee.flags |= AV_CODEC_FLAG_GLOBAL_HEADER }
        try check(avcodec_open2(allocated, encoder, nil), path, "AAC refuses \(audio.channels) channels at \(rate) Hz")
        self.muxer = muxer
        channels = audio.channels
        frameLength = max(1, Int(allocated.pointee.frame_size))
        stream = try muxer.addStream()
        stream.pointee.time_base = allocated.pointee.time_base
        try check(avcodec_parameters_from_context(stream.pointee.codecpar, allocated), path, "out of memory")
        frame = try Frame(path: path)
        packet = try Packet(path: path)
        resampler = rate == audio.sampleRate
            ? nil
            : try AudioResampler(
                path: path, inputRate: audio.sampleRate, inputFormat: AV_SAMPLE_FMT_FLT, layout: layout, outputRate: rate,
                outputChannels: audio.channels)
        // The start is placed in input samples, so that silence passes the resampler like all else.
        let lead = (audio.start * Rational(Int64(audio.sampleRate))).rounded
        guard lead.magnitude < 86_400 * UInt64(audio.sampleRate) else {
            throw MediaError(.invalidRequest, path: path, "sound that starts at \(audio.start) s cannot be written")
        }
        toDrop = Int(max(0, -lead)) * channels
        codec = allocated
        isComplete = true
        var silence = Int(max(0, lead)) * channels
        while silence > 0 {
            let count = min(silence, audio.sampleRate * channels)
            waitingSilence.append(count)
            silence -= count
        }
    }

    /// Stretches of silence ahead of the sound, written with the first samples, once the file's header is out.
    private var waitingSilence: [Int] = []

    deinit {
        var codec: UnsafeMutablePointer<AVCodecContext>? = codec
        avcodec_free_context(&codec)
    }

    func write(_ samples: [Float]) throws {
        guard samples.count.isMultiple(of: channels) else {
            throw MediaError(.invalidRequest, path: muxer.path, "\(samples.count) samples do not fill \(channels) channels")
        }
        for count in waitingSilence { try take([Float](repeating: 0, count: count)) }
        waitingSilence = []
        let dropped = min(toDrop, samples.count)
        toDrop -= dropped
        if dropped < samples.count { try take(dropped == 0 ? samples : Array(samples[dropped...])) }
    }

    private func take(_ samples: [Float]) throws {
        consumed += Int64(samples.count / channels)
        if let resampler {
            let out = try samples.withUnsafeBytes { bytes in
                var plane = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
                return try resampler.convert(&plane, count: samples.count / channels)
            }
            produced += Int64(out.count / channels)
            waiting += out
        } else {
            waiting += samples
        }
        var start = 0
        while waiting.count - start >= frameLength * channels {
            try encode(waiting[start..<start + frameLength * channels])
            start += frameLength * channels
        }
        waiting.removeFirst(start)
    }

    func finish() throws {
        try write([])
        if let resampler {
            var tail = try resampler.flush()
            let due = (Rational(consumed) * Rational(Int64(codec.pointee.sample_rate), Int64(resampler.inputRate))).rounded
            let excess = tail.count - Int(due - produced) * channels
            if excess > 0 { tail.removeLast(min(excess, tail.count)) }
            waiting += tail
        }
        var start = 0
        while start < waiting.count {
            let end = min(waiting.count, start + frameLength * channels)
            try encode(waiting[start..<end])
            start = end
        }
        try check(avcodec_send_frame(codec, nil), muxer.path, "AAC cannot finish")
        try drain()
    }

    /// Encodes up to one codec frame of interleaved samples.
    private func encode(_ samples: ArraySlice<Float>) throws {
        let count = samples.count / channels
        av_frame_unref(frame.pointer)
        frame.pointer.pointee.nb_samples = Int32(count)
        frame.pointer.pointee.format = AV_SAMPLE_FMT_FLTP.rawValue
        frame.pointer.pointee.sample_rate = codec.pointee.sample_rate
        frame.pointer.pointee.ch_layout = codec.pointee.ch_layout
        frame.pointer.pointee.pts = encoded
        try check(av_frame_get_buffer(frame.pointer, 0), muxer.path, "out of memory")
        for channel in 0..<channels {
            guard let plane = frame.pointer.pointee.extended_data?[channel] else { continue }
            plane.withMemoryRebound(to: Float.self, capacity: count) { target in
                for i in 0..<count {
                    let value = samples[samples.startIndex + i * channels + channel]
                    target[i] = value.isFinite ? value : 0
                }
            }
        }
        encoded += Int64(count)
        try check(avcodec_send_frame(codec, frame.pointer), muxer.path, "AAC refuses samples")
        try drain()
    }

    private func drain() throws {
        while true {
            let status = avcodec_receive_packet(codec, packet.pointer)
            if status == cff_error_again || status == cff_error_eof { return }
            try check(status, muxer.path, "AAC cannot encode")
            try muxer.write(packet.pointer, stream: stream, from: codec.pointee.time_base)
        }
    }
}
