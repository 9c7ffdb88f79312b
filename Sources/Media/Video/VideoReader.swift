import CFFmpeg

/// One picture of a film.
public struct VideoFrame: Sendable {
    /// RGB, `[height, width, 3]`.
    public let image: RasterImage
    /// Time stamp in ticks of the reader's `timeBase`.
    public let ticks: Int64
    /// Time stamp in seconds from the start of the range that is read.
    public let time: Rational
}

/// Which source frame stands for an instant when the frame rate is changed.
public enum FrameSelection: String, Sendable, CaseIterable {
    /// The frame whose time stamp is nearest; the earlier of two equally near.
    case nearest
    /// The frame that a player shows at that instant.
    case atOrBefore
}

/// Reads any film that FFmpeg decodes, frame by frame, as upright RGB pictures with exact time stamps.
///
/// Rotation metadata, sample aspect ratio, colour matrix (BT.601, 709, 2020) and range are applied. One frame is in
/// memory at a time.
///
/// Time 0 is the start of the file (of its first picture or sound) or, if `start` is given, that instant; a
/// `AudioReader` over the same range has the same time 0.
public final class VideoReader {
    public struct Options: Sendable {
        /// Output frames per second: frame `k` shows time `k / frameRate`. Nil keeps the file's own frames and stamps.
        public var frameRate: Rational?
        public var selection = FrameSelection.nearest
        /// Output size, or nil for the film's own in square pixels.
        public var size: FrameSize?
        /// Without `size`, both sides are rounded to multiples of this.
        public var align = 1
        public var fit = Fit.pad
        /// What transparent parts are laid over.
        public var backdrop = Backdrop.white
        /// Seconds from the start of the file; frames before it are left out.
        public var start: Rational?
        /// Seconds from the start of the file; frames at or after it are left out.
        public var end: Rational?
        /// Decoding threads. The frames do not depend on it, unless the file is damaged.
        public var threads = 1

        public init() {}
    }

    public let path: String
    public let options: Options
    /// Size of the frames that `next()` gives.
    public let size: FrameSize
    /// Seconds per tick of the frames' time stamps.
    public private(set) var timeBase = Rational(1)
    /// What the file says of its picture.
    public let source: VideoInfo

    /// False: only the times of frames are of interest.
    private let decodes: Bool
    private let file: InputFile
    private let decoder: StreamDecoder
    private let converter: FrameConverter
    private let orientation: Orientation
    /// File time of the output's time 0.
    private let zero: Rational
    private let limit: Rational?

    /// The frame that stands at the current time and, once decoded, the one after it.
    private var current: Stamped
    private var upcoming: Stamped?
    private var isExhausted = false
    private var lastTime: Rational?
    private var leftOut = 0
    private var slot: Int64 = 0
    private var rendered: (time: Rational, image: RasterImage)?
    private var hasEnded = false
    private var ending: Rational?

    /// A decoded frame and its time in the file, in seconds from the file's start.
    private struct Stamped {
        var frame: Frame
        var time: Rational
        var duration: Rational
    }

    /// Opens a film and decodes its first frame.
    ///
    /// - Throws: `MediaError` if the file cannot be opened, has no picture that can be decoded, or the options make no sense.
    public convenience init(path: String, options: Options = Options()) throws {
        try self.init(path: path, options: options, decodes: true)
    }

    /// The times of the frames that a reader would give, in ticks of its `timeBase`, and their end: read off the packets, without
    /// decoding. A damaged file may turn out to have others.
    ///
    /// - Throws: `MediaError` if the file cannot be opened or does not tell.
    public static func times(path: String, options: Options = Options()) throws -> (ticks: [Int64], end: Int64?) {
        let reader = try VideoReader(path: path, options: options, decodes: false)
        var ticks: [Int64] = []
        while let frame = try reader.next() { ticks.append(frame.ticks) }
        return (ticks, reader.endTicks)
    }

    private init(path: String, options: Options, decodes: Bool) throws {
        try Self.check(options, path)
        self.decodes = decodes
        var (file, decoder) = try Self.open(path, options, decodes: decodes)
        let origin = file.origin
        let start = options.start ?? .zero
        self.path = path
        self.options = options
        converter = FrameConverter(path: path, backdrop: options.backdrop)
        orientation = cff_stream_display_matrix(decoder.stream).map { Orientation(displayMatrix: $0) } ?? Orientation()
        zero = origin + start
        limit = options.end.map { origin + $0 }
        source = VideoInfo(stream: decoder.stream, file: file, orientation: orientation)
        current = Stamped(frame: try Frame(path: path), time: .zero, duration: .zero)

        let fallback = source.frameRate.map(\.reciprocal) ?? Rational(1, 25)
        let frame = current.frame.pointer
        let isFar = start > Rational(1)
        var first = isFar ? try Self.seekStart(file, decoder, frame, zero, fallback) : nil
        if first == nil, isFar {
            // Some files cannot seek, or not back: read a fresh one from its beginning.
            (file, decoder) = try Self.open(path, options, decodes: decodes)
        }
        if first == nil, try decoder.next(into: frame) { first = Self.stamp(frame, decoder, after: nil, fallback) }
        self.file = file
        self.decoder = decoder
        guard let (time, duration) = first else {
            let cause = decoder.readError.map { " (\(describe($0)))" } ?? ""
            if let obstacle = file.pictureStructure?.obstacle { throw MediaError(.unsupported, path: path, obstacle) }
            throw MediaError(
                .malformed, path: path, "not one frame could be decoded\(cause); the file is damaged or cut short")
        }
        current.time = time
        current.duration = duration
        lastTime = time
        let shape = current.frame.pointer.pointee
        let aspect = Rational(av_guess_sample_aspect_ratio(file.context, decoder.stream, current.frame.pointer))
        let placement = Placement(
            source: FrameSize(Int(shape.width), Int(shape.height)), aspect: aspect, orientation: orientation,
            target: options.size, align: options.align, fit: options.fit)
        size = placement.canvas
        guard size.width <= 32768, size.height <= 32768 else {
            throw MediaError(.unsupported, path: path, "frames of \(size) are too large; give a smaller size")
        }
        timeBase = options.frameRate?.reciprocal ?? Self.commonTimeBase(decoder.timeBase, zero)
        if options.frameRate == nil { try skipToStart() } else { try advanceTo(zero) }
    }

    private static func check(_ options: Options, _ path: String) throws {
        func fail(_ message: String) -> MediaError { MediaError(.invalidRequest, path: path, message) }
        if let rate = options.frameRate, rate <= .zero || rate > Rational(1000) {
            throw fail("a frame rate of \(rate) was asked for; it must be above 0 and at most 1000")
        }
        if let size = options.size, !(1...32768).contains(size.width) || !(1...32768).contains(size.height) {
            throw fail("a size of \(size) was asked for; both sides must be 1 to 32768 pixels")
        }
        guard (1...1024).contains(options.align) else { throw fail("align is \(options.align); it must be 1 to 1024") }
        let start = options.start ?? .zero
        guard start >= .zero else { throw fail("start is \(start) seconds; it must not be negative") }
        if let end = options.end, end <= start {
            throw fail("the range ends at \(end) seconds, not after its start at \(start)")
        }
    }

    /// The next frame, or nil at the end of the film or range.
    ///
    /// - Throws: `MediaError` if a frame cannot be converted. Damaged packets are skipped and told in `warnings`.
    public func next() throws -> VideoFrame? {
        guard !hasEnded else { return nil }
        return try options.frameRate == nil ? nextOwn() : nextSlot()
    }

    /// End of the last frame in ticks of `timeBase`; nil until `next()` has given nil.
    public var endTicks: Int64? { ending.map { (($0 - zero) / timeBase).rounded } }

    /// What went wrong without stopping the reader, in whole sentences; complete once `next()` has given nil.
    public var warnings: [String] {
        var list: [String] = []
        if decoder.damaged > 0 { list.append("\(path): \(decoder.damaged) damaged packets or frames.") }
        if leftOut > 0 { list.append("\(path): left out \(leftOut) frames whose time stamps do not move forward.") }
        if let error = decoder.readError { list.append("\(path): reading broke off: \(describe(error)).") }
        if let warning = file.cutWarning { list.append(warning) }
        if hasEnded, isExhausted, options.end == nil, let claimed = source.duration, let ending,
            ending - file.origin + max(Rational(1, 2), current.duration * Rational(2)) < claimed
        {
            list.append(
                "\(path): the file says its picture lasts \(claimed.doubleValue) s, "
                    + "but it ends at \((ending - file.origin).doubleValue) s: it may be cut short.")
        }
        return list
    }

    // MARK: Own frames

    private func skipToStart() throws {
        while current.time < zero {
            guard try advance() else {
                throw MediaError(
                    .invalidRequest, path: path,
                    "no frame at or after \(options.start ?? .zero) s: the film ends at "
                        + "\((current.time + current.duration - file.origin).doubleValue) s")
            }
        }
    }

    private func nextOwn() throws -> VideoFrame? {
        if let limit, current.time >= limit { return finish(at: ending ?? limit) }
        let frame = current
        let time = frame.time - zero
        let image = try render()
        let result = VideoFrame(image: image, ticks: (time / timeBase).rounded, time: time)
        if try advance() {
            ending = current.time
        } else {
            ending = frame.time + frame.duration
            hasEnded = true
        }
        if let limit, let end = ending, end > limit { ending = limit }
        return result
    }

    private func finish(at time: Rational) -> VideoFrame? {
        ending = time
        hasEnded = true
        return nil
    }

    // MARK: Another frame rate

    /// Moves on until `current` is the frame to show at `time`.
    private func advanceTo(_ time: Rational) throws {
        while try peek(), let next = upcoming {
            switch options.selection {
            case .atOrBefore: if next.time > time { return }
            case .nearest: if next.time - time >= time - current.time { return }
            }
            current = next
            upcoming = nil
        }
    }

    private func nextSlot() throws -> VideoFrame? {
        let time = zero + Rational(slot) * timeBase
        try advanceTo(time)
        // The number of frames is the length of the range in frames, rounded, so that the film ends within half a
        // frame of its source; but it is at least one.
        var length: Rational? = limit.map { $0 - zero }
        if upcoming == nil, isExhausted {
            let own = current.time + current.duration - zero
            if slot == 0, own <= .zero {
                throw MediaError(
                    .invalidRequest, path: path,
                    "no frame at or after \(options.start ?? .zero) s: the film ends at "
                        + "\((current.time + current.duration - file.origin).doubleValue) s")
            }
            length = min(length ?? own, own)
        }
        if let length, slot >= max(1, (length / timeBase).rounded) { return finish(at: time) }
        let image = try render()
        let frame = VideoFrame(image: image, ticks: slot, time: Rational(slot) * timeBase)
        slot += 1
        return frame
    }

    // MARK: Decoding

    /// The current frame as RGB; kept, since a higher frame rate shows it more than once.
    private func render() throws -> RasterImage {
        guard decodes else { return RasterImage(width: 0, height: 0, pixels: []) }
        if let rendered, rendered.time == current.time { return rendered.image }
        let frame = current.frame.pointer
        let placement = Placement(
            source: FrameSize(Int(frame.pointee.width), Int(frame.pointee.height)),
            aspect: Rational(av_guess_sample_aspect_ratio(file.context, decoder.stream, frame)),
            orientation: orientation, target: size, align: 1, fit: options.fit)
        let image = RasterImage(width: size.width, height: size.height, pixels: try converter.convert(frame, placement))
        if options.frameRate != nil { rendered = (current.time, image) }
        return image
    }

    /// Makes the next frame the current one; false at the end.
    private func advance() throws -> Bool {
        guard try peek(), let next = upcoming else { return false }
        current = next
        upcoming = nil
        return true
    }

    /// Decodes into `upcoming` if it is empty; false at the end.
    private func peek() throws -> Bool {
        if upcoming != nil { return true }
        if isExhausted { return false }
        let frame = try Frame(path: path)
        while try decoder.next(into: frame.pointer) {
            let stamped = stamp(frame)
            // A stamp that does not move forward comes from a damaged file; showing it would put the film out of step.
            if let lastTime, stamped.time <= lastTime {
                leftOut += 1
                continue
            }
            if let lastTime, stamped.time - lastTime > Rational(3600) {
                throw MediaError(
                    .malformed, path: path,
                    "the time stamps of its picture jump by more than an hour after "
                        + "\((lastTime - file.origin).doubleValue) s; give 'end' to stop before, or repair it with ffmpeg")
            }
            lastTime = stamped.time
            upcoming = stamped
            return true
        }
        isExhausted = true
        if let end = declaredEnd, end > current.time, end - current.time <= max(current.duration, averageDuration) * Rational(2) {
            current.duration = end - current.time
        }
        return false
    }

    private var averageDuration: Rational { source.frameRate.map(\.reciprocal) ?? Rational(1, 25) }

    /// Where an MP4 says its picture ends. Its packets' durations are distances in decoding order, which for frames at
    /// uneven distances say nothing of the last one's length.
    private var declaredEnd: Rational? {
        let stream = decoder.stream.pointee
        guard file.formatName.hasPrefix("mov"), stream.start_time != cff_no_pts, stream.duration != cff_no_pts,
            stream.duration > 0
        else { return nil }
        return Rational(stream.start_time) * decoder.timeBase + Rational(stream.duration) * decoder.timeBase
    }

    private func stamp(_ frame: Frame) -> Stamped {
        let (time, duration) = Self.stamp(frame.pointer, decoder, after: current, averageDuration)
        return Stamped(frame: frame, time: time, duration: duration)
    }

    private static func stamp(
        _ frame: UnsafeMutablePointer<AVFrame>, _ decoder: StreamDecoder, after previous: Stamped?, _ fallback: Rational
    ) -> (Rational, Rational) {
        let own = Rational(cff_frame_duration(frame)) * decoder.timeBase
        let duration = own > .zero ? own : fallback
        let pts = frame.pointee.best_effort_timestamp
        guard pts != cff_no_pts else { return (previous.map { $0.time + $0.duration } ?? .zero, duration) }
        return (Rational(pts) * decoder.timeBase, duration)
    }

    private static func open(_ path: String, _ options: Options, decodes: Bool) throws -> (InputFile, StreamDecoder) {
        let file = try InputFile(path: path)
        guard let index = file.bestStream(AVMEDIA_TYPE_VIDEO) else {
            throw MediaError(.noStream, path: path, "the file has no video stream (format '\(file.formatName)')")
        }
        let decoder = try StreamDecoder(file: file, index: index, threads: decodes ? options.threads : 1)
        if !decodes { try decoder.readStampsOnly() }
        return (file, decoder)
    }

    /// Decodes a frame at or before `zero` by seeking; nil if the file cannot.
    private static func seekStart(
        _ file: InputFile, _ decoder: StreamDecoder, _ frame: UnsafeMutablePointer<AVFrame>, _ zero: Rational,
        _ fallback: Rational
    ) throws -> (Rational, Rational)? {
        // Bare codec streams have no time stamps to seek by.
        guard file.hasTimeStamps else { return nil }
        // An index may lead to a key frame that is shown only after the instant asked for; then start further back.
        for back in [Int64(0), 2, 10] where zero - file.origin > Rational(back) {
            guard decoder.seek(to: ((zero - Rational(back)) / decoder.timeBase).floor) else { return nil }
            guard try decoder.next(into: frame), frame.pointee.best_effort_timestamp != cff_no_pts else { continue }
            let found = stamp(frame, decoder, after: nil, fallback)
            if found.0 <= zero { return found }
        }
        return nil
    }

    /// A time base in which both the stream's ticks and the offset are whole numbers, where 31 bits allow it.
    private static func commonTimeBase(_ base: Rational, _ offset: Rational) -> Rational {
        guard base > .zero else { return Rational(1, 1_000_000) }
        guard (offset / base).denominator != 1 else { return base }
        let (a, b) = (base.denominator, offset.denominator)
        let common = Rational(a, b)
        let (multiple, overflow) = a.multipliedReportingOverflow(by: common.denominator)
        return overflow || multiple > Int64(Int32.max) ? base : Rational(1, multiple)
    }
}
