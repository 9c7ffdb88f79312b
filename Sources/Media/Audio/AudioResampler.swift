import CFFmpeg

/// Sample rate, format and channel conversion to interleaved f32; output sample 0 lies on input sample 0.
final class AudioResampler {
    let inputRate: Int
    let outputRate: Int
    let outputChannels: Int
    let inputFormat: AVSampleFormat
    let inputChannels: Int
    private let path: String
    private var context: OpaquePointer?

    /// - Parameter layout: channels of the input; a layout without names counts as the default for its number.
    init(
        path: String, inputRate: Int, inputFormat: AVSampleFormat, layout: AVChannelLayout, outputRate: Int, outputChannels: Int
    ) throws {
        self.path = path
        self.inputRate = inputRate
        self.outputRate = outputRate
        self.outputChannels = outputChannels
        self.inputFormat = inputFormat
        inputChannels = Int(layout.nb_channels)
        var input = layout
        var output = AVChannelLayout()
        av_channel_layout_default(&output, Int32(outputChannels))
        if input.order == AV_CHANNEL_ORDER_UNSPEC { av_channel_layout_default(&input, layout.nb_channels) }
        var status = swr_alloc_set_opts2(
            &context, &output, AV_SAMPLE_FMT_FLT, Int32(outputRate), &input, inputFormat, Int32(inputRate), 0, nil)
        if status >= 0, let context {
            // Mixing down must not exceed full scale: stereo becomes the mean of its channels.
            av_opt_set_double(UnsafeMutableRawPointer(context), "rematrix_maxval", 1, 0)
            status = swr_init(context)
        }
        guard status >= 0 else {
            swr_free(&context)
            throw MediaError(
                .unsupported, path: path,
                "cannot convert sound of \(inputRate) Hz, \(layout.nb_channels) channels to \(outputRate) Hz, "
                    + "\(outputChannels) channels: \(describe(status))")
        }
    }

    deinit { swr_free(&context) }

    /// Converts `count` sample frames; nil planes with count 0 flush the tail.
    func convert(_ planes: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, count: Int) throws -> [Float] {
        let capacity = Int(swr_get_out_samples(context, Int32(count)))
        guard capacity > 0 else { return [] }
        var status: Int32 = 0
        let output = [Float](unsafeUninitializedCapacity: capacity * outputChannels) { buffer, initialized in
            buffer.initialize(repeating: 0)
            buffer.withMemoryRebound(to: UInt8.self) { bytes in
                var pointer: UnsafeMutablePointer<UInt8>? = bytes.baseAddress
                status = swr_convert(context, &pointer, Int32(capacity), planes, Int32(count))
            }
            initialized = max(0, Int(status)) * outputChannels
        }
        guard status >= 0 else {
            throw MediaError(.malformed, path: path, "cannot resample its sound: \(describe(status))")
        }
        return output
    }

    /// Converts the first `count` sample frames of `frame`.
    func convert(_ frame: UnsafeMutablePointer<AVFrame>, count: Int) throws -> [Float] {
        guard let data = frame.pointee.extended_data, count > 0 else { return [] }
        var planes = (0..<max(1, inputChannels)).map { index -> UnsafePointer<UInt8>? in
            // Packed formats have one plane only.
            av_sample_fmt_is_planar(inputFormat) != 0 || index == 0 ? UnsafePointer(data[index]) : nil
        }
        return try convert(&planes, count: count)
    }

    func flush() throws -> [Float] { try convert(nil, count: 0) }
}
