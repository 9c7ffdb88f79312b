import CFFmpeg
import Foundation

/// Writes RGB frames, and sound, as an MP4 file: H.264 with exact time stamps and AAC.
///
/// - Colour: BT.709, limited range, 4:2:0, tagged so; `.lossless` keeps RGB as it is.
/// - Odd sizes: 4:2:0 needs even sides, so the last column or row is written twice and the film is one pixel larger.
/// - Time stamps are kept exactly, frame by frame, also where their distances vary.
/// - The same calls give the same bytes on any number of cores: the encoder always splits its work the same way, and no
///   date or version is written.
///
/// Call `write` for each frame in order, `writeAudio` at any time between (best alternating, as a player reads them),
/// then `finish`. Without `finish` the file is not playable; `cancel` removes it.
public final class VideoWriter {
    public enum Codec: Sendable, Equatable {
        /// H.264 4:2:0. Quality as x264's constant rate factor: 0…51, lower is better, 18 looks the same as the source.
        case h264(crf: Double)
        /// H.264 in RGB without loss. FFmpeg, VLC and mpv play it, browsers do not.
        case lossless
    }

    public struct Options: Sendable {
        public var codec = Codec.h264(crf: 18)
        /// Frames per second for players and rate control; nil takes `1 / timeBase` if that is at most 120, else 30.
        public var frameRate: Rational?
        /// x264's speed preset.
        public var preset = "medium"
        /// Sound, if there is to be any.
        public var audio: Audio?
        /// Clockwise turn that players apply: 0, 90, 180 or 270 degrees.
        public var rotation = 0

        public init() {}
    }

    /// The sound that will be handed over.
    public struct Audio: Sendable {
        /// Samples per second of what is handed over; what AAC does not know is resampled to 48 kHz.
        public var sampleRate: Int
        /// 1 or 2, interleaved.
        public var channels: Int
        /// Time of the first sample in seconds on the film's timeline; before 0 it is cut, after 0 silence is put ahead.
        public var start: Rational
        /// Bits per second.
        public var bitRate: Int

        public init(sampleRate: Int, channels: Int = 1, start: Rational = .zero, bitRate: Int = 160_000) {
            self.sampleRate = sampleRate
            self.channels = channels
            self.start = start
            self.bitRate = bitRate
        }
    }

    public let path: String
    /// Size of the frames handed over.
    public let size: FrameSize
    public let timeBase: Rational
    private let muxer: Muxer
    private let video: VideoEncoder
    private let audio: AudioEncoder?
    private var lastTicks: Int64?
    private var isClosed = false

    /// Creates the file.
    ///
    /// - Parameters:
    ///   - path: file to write, replaced if there.
    ///   - timeBase: seconds per tick of the frames' time stamps.
    /// - Throws: `MediaError` if the file cannot be created or FFmpeg lacks x264 or AAC.
    public init(path: String, size: FrameSize, timeBase: Rational, options: Options = Options()) throws {
        guard (1...16384).contains(size.width), (1...16384).contains(size.height) else {
            throw MediaError(.invalidRequest, path: path, "a film of \(size) was asked for; both sides must be 1 to 16384 pixels")
        }
        guard timeBase > .zero, timeBase.denominator <= Int64(Int32.max), timeBase.numerator <= Int64(Int32.max) else {
            throw MediaError(.invalidRequest, path: path, "a time base of \(timeBase) seconds cannot be written")
        }
        _ = quietFFmpeg
        self.path = path
        self.size = size
        self.timeBase = timeBase
        let muxer = try Muxer(path: path)
        self.muxer = muxer
        video = try VideoEncoder(muxer: muxer, size: size, timeBase: timeBase, options: options)
        audio = try options.audio.map { try AudioEncoder(muxer: muxer, $0) }
        try muxer.begin(movieTimescale: timeBase.denominator)
    }

    deinit {
        if !isClosed { muxer.cancel() }
    }

    /// Writes one frame.
    ///
    /// - Parameters:
    ///   - pixels: RGB bytes, `[height, width, 3]`.
    ///   - ticks: time stamp in `timeBase`, larger than the one before and not negative.
    public func write(_ pixels: UnsafeRawBufferPointer, ticks: Int64) throws {
        guard pixels.count == size.width * size.height * 3 else {
            throw MediaError(.invalidRequest, path: path, "a frame of \(pixels.count) bytes is not RGB of \(size)")
        }
        guard ticks >= 0, ticks < 1 << 53, ticks > lastTicks ?? -1 else {
            throw MediaError(
                .invalidRequest, path: path, "time stamp \(ticks) after \(lastTicks.map(String.init) ?? "none"): they must grow from 0")
        }
        lastTicks = ticks
        try video.write(pixels, ticks: ticks)
    }

    /// Writes one frame; see `write(_:ticks:)`.
    public func write(_ image: RasterImage, ticks: Int64) throws {
        guard image.channels == 3, image.width == size.width, image.height == size.height else {
            throw MediaError(
                .invalidRequest, path: path,
                "a frame of \(image.width)x\(image.height) with \(image.channels) channels is not RGB of \(size)")
        }
        try image.pixels.withUnsafeBytes { try write($0, ticks: ticks) }
    }

    /// Appends samples to the sound, interleaved if there are two channels.
    public func writeAudio(_ samples: some Collection<Float>) throws {
        guard let audio else {
            throw MediaError(.invalidRequest, path: path, "sound was handed over, but the file was made without")
        }
        try audio.write(Array(samples))
    }

    /// Completes the file.
    ///
    /// - Parameter end: end of the last frame in ticks; nil lets it last as long as the one before it.
    public func finish(end: Int64? = nil) throws {
        guard !isClosed else { return }
        guard lastTicks != nil else { throw MediaError(.invalidRequest, path: path, "a film needs at least one frame") }
        try video.finish(end: end)
        try audio?.finish()
        try muxer.finish()
        isClosed = true
    }

    /// Gives up and removes the file.
    public func cancel() {
        guard !isClosed else { return }
        isClosed = true
        muxer.cancel()
    }
}
