import CFFmpeg

/// What a file says of its video stream.
public struct VideoInfo: Sendable {
    public let codec: String
    /// Size as a viewer sees it: rotation and sample aspect ratio applied.
    public let size: FrameSize
    /// Average frames per second, nil if unknown.
    public let frameRate: Rational?
    /// Length in seconds, nil if unknown.
    public let duration: Rational?
    /// FFmpeg's name of the colour matrix, such as `bt709`, nil if the file does not say.
    public let colorMatrix: String?
    /// FFmpeg's name of the transfer function, nil if the file does not say.
    public let transfer: String?

    init(stream: UnsafeMutablePointer<AVStream>, file: InputFile, orientation: Orientation) {
        let rate = Rational(stream.pointee.avg_frame_rate)
        let fallback = Rational(stream.pointee.r_frame_rate)
        let chosen = rate > .zero ? rate : fallback
        frameRate = chosen > .zero && chosen <= Rational(1000) ? chosen : nil
        if stream.pointee.duration != cff_no_pts, stream.pointee.duration > 0 {
            duration = Rational(stream.pointee.duration) * Rational(stream.pointee.time_base)
        } else {
            duration = file.duration
        }
        guard let parameters = stream.pointee.codecpar?.pointee else {
            codec = "?"
            size = FrameSize(0, 0)
            colorMatrix = nil
            transfer = nil
            return
        }
        codec = String(cString: avcodec_get_name(parameters.codec_id))
        let shown = Placement.display(
            FrameSize(Int(parameters.width), Int(parameters.height)), Rational(stream.pointee.sample_aspect_ratio))
        size = orientation.isTransposed ? FrameSize(shown.height, shown.width) : shown
        colorMatrix = parameters.color_space == AVCOL_SPC_UNSPECIFIED
            ? nil : av_color_space_name(parameters.color_space).map { String(cString: $0) }
        transfer = parameters.color_trc == AVCOL_TRC_UNSPECIFIED
            ? nil : av_color_transfer_name(parameters.color_trc).map { String(cString: $0) }
    }
}

/// What a file says of its sound.
public struct AudioInfo: Sendable {
    public let codec: String
    /// Samples per second.
    public let sampleRate: Int
    public let channels: Int
    /// Length in seconds, nil if unknown.
    public let duration: Rational?
}

/// What is in a media file, without decoding it.
public struct MediaInfo: Sendable {
    /// FFmpeg's name of the container.
    public let format: String
    public let video: VideoInfo?
    public let audio: AudioInfo?

    /// - Throws: `MediaError` if the file cannot be opened.
    public init(path: String) throws {
        let file = try InputFile(path: path)
        format = file.formatName
        video = file.bestStream(AVMEDIA_TYPE_VIDEO).flatMap(file.stream).map {
            VideoInfo(
                stream: $0, file: file,
                orientation: cff_stream_display_matrix($0).map { Orientation(displayMatrix: $0) } ?? Orientation())
        }
        audio = file.bestStream(AVMEDIA_TYPE_AUDIO).flatMap(file.stream).flatMap { stream in
            stream.pointee.codecpar.map { AudioInfo(stream: stream, parameters: $0.pointee, file: file) }
        }
    }
}

extension AudioInfo {
    init(stream: UnsafeMutablePointer<AVStream>, parameters: AVCodecParameters, file: InputFile) {
        codec = String(cString: avcodec_get_name(parameters.codec_id))
        sampleRate = Int(parameters.sample_rate)
        channels = Int(parameters.ch_layout.nb_channels)
        duration = stream.pointee.duration != cff_no_pts && stream.pointee.duration > 0
            ? Rational(stream.pointee.duration) * Rational(stream.pointee.time_base) : file.duration
    }
}
