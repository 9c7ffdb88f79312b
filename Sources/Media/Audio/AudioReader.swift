import CFFmpeg

/// Reads the sound of any file that FFmpeg decodes as f32 samples at one rate, laid on the picture's timeline.
///
/// Time 0 is the start of the file (of its first picture or sound) or, if `start` is given, that instant: the same as
/// a `VideoReader`'s over the same range. Gaps of more than 0.1 s in the sound are filled with silence.
public final class AudioReader {
    public struct Options: Sendable {
        /// Samples per second of the output.
        public var sampleRate = 16_000
        /// 1 (the mean of all channels) or 2.
        public var channels = 1
        /// Seconds from the start of the file.
        public var start: Rational?
        /// Seconds from the start of the file.
        public var end: Rational?

        public init() {}
    }

    public let path: String
    public let options: Options
    /// Time of the first sample, in seconds from the start of the range, a multiple of one sample; above 0 if the
    /// sound starts later than the range.
    public let start: Rational
    public let source: AudioInfo

    private let decoder: StreamDecoder
    /// The frame to convert next, and the one after it: the last one of a stream may be longer than its sound.
    private var frame: Frame
    private var upcoming: Frame
    private var resampler: AudioResampler?
    /// File time of the first decoded sample.
    private let firstTime: Rational
    private var hasFrame = true
    private var hasUpcoming = false
    /// Input sample frames given to the resampler, and what is still to be given as silence.
    private var consumed: Int64 = 0
    private var silence: Int64 = 0
    /// Output sample frames that the input so far stands for, and those made so far.
    private var produced: Int64 = 0
    /// Output sample frames to leave out at the start, and the number after which to stop.
    private let skip: Int64
    private let stop: Int64?
    private var isFinished = false

    /// Opens a file and decodes its first sound.
    ///
    /// - Throws: `MediaError` if the file cannot be opened, has no sound (`noStream`), or the options make no sense.
    public init(path: String, options: Options = Options()) throws {
        func fail(_ message: String) -> MediaError { MediaError(.invalidRequest, path: path, message) }
        guard (1000...768_000).contains(options.sampleRate) else {
            throw fail("a sample rate of \(options.sampleRate) Hz was asked for; it must be 1000 to 768000")
        }
        guard (1...2).contains(options.channels) else { throw fail("\(options.channels) channels were asked for; 1 or 2 are possible") }
        let begin = options.start ?? .zero
        guard begin >= .zero else { throw fail("start is \(begin) seconds; it must not be negative") }
        if let end = options.end, end <= begin { throw fail("the range ends at \(end) seconds, not after its start at \(begin)") }

        let file = try InputFile(path: path)
        guard let index = file.bestStream(AVMEDIA_TYPE_AUDIO), let stream = file.stream(index),
            let parameters = stream.pointee.codecpar
        else {
            throw MediaError(.noStream, path: path, "the file has no sound (format '\(file.formatName)')")
        }
        self.path = path
        self.options = options
        source = AudioInfo(stream: stream, parameters: parameters.pointee, file: file)
        decoder = try StreamDecoder(file: file, index: index, threads: 1)
        frame = try Frame(path: path)
        guard try decoder.next(into: frame.pointer) else {
            throw MediaError(.malformed, path: path, "no sound could be decoded; the file is damaged or cut short")
        }
        upcoming = try Frame(path: path)
        hasUpcoming = try decoder.next(into: upcoming.pointer)
        let origin = file.origin
        let pts = frame.pointer.pointee.best_effort_timestamp
        firstTime = pts == cff_no_pts ? origin : Rational(pts) * decoder.timeBase
        let rate = Rational(Int64(options.sampleRate))
        let offset = ((firstTime - origin - begin) * rate).rounded
        skip = max(0, -offset)
        start = Rational(max(0, offset)) / rate
        stop = options.end.map { max(0, (($0 - begin) * rate).rounded - offset) }
    }

    /// What went wrong without stopping the reader, in whole sentences; complete once `next()` has given nil.
    public var warnings: [String] {
        var list: [String] = []
        if decoder.damaged > 0 { list.append("\(path): \(decoder.damaged) damaged packets of sound.") }
        if let error = decoder.readError { list.append("\(path): reading broke off: \(describe(error)).") }
        if let warning = decoder.file.cutWarning { list.append(warning) }
        if isFinished, options.end == nil, let claimed = source.duration, let resampler {
            let ending = firstTime - decoder.file.origin + Rational(consumed, Int64(resampler.inputRate))
            if ending + Rational(1, 2) < claimed {
                list.append(
                    "\(path): the file says its sound lasts \(claimed.doubleValue) s, "
                        + "but it ends at \(ending.doubleValue) s: it may be cut short.")
            }
        }
        return list
    }

    /// All samples of the range, interleaved if there are two channels.
    public func readAll() throws -> [Float] {
        var samples: [Float] = []
        while let chunk = try next() { samples += chunk }
        return samples
    }

    /// The next stretch of samples (never empty), or nil at the end.
    public func next() throws -> [Float]? {
        while !isFinished {
            let before = produced
            var chunk = try convertNext()
            produced += Int64(chunk.count / options.channels)
            // Cut to the range.
            let head = min(max(0, skip - before), produced - before)
            let tail = stop.map { max(0, min(produced - before - head, produced - $0)) } ?? 0
            if let stop, produced >= stop { isFinished = true }
            if head > 0 || tail > 0 {
                let (from, to) = (Int(head) * options.channels, chunk.count - Int(tail) * options.channels)
                chunk = from < to ? Array(chunk[from..<to]) : []
            }
            if !chunk.isEmpty { return chunk }
        }
        return nil
    }

    /// Feeds the resampler one frame, one stretch of silence or the end, and returns what comes out.
    private func convertNext() throws -> [Float] {
        if silence > 0 { return try convertSilence() }
        guard hasFrame else {
            isFinished = true
            return try drain()
        }
        let shape = frame.pointer.pointee
        let rate = Int64(shape.sample_rate)
        guard rate > 0, shape.ch_layout.nb_channels > 0, shape.ch_layout.nb_channels <= 64 else {
            throw MediaError(.malformed, path: path, "its sound has no sample rate or no channels")
        }
        var out: [Float] = []
        if let old = resampler,
            old.inputRate != Int(rate) || old.inputFormat.rawValue != shape.format
                || old.inputChannels != Int(shape.ch_layout.nb_channels)
        {
            // The sound changes its form on the way: what came before counts at the new rate from here on.
            out = try drain()
            consumed = consumed * rate / Int64(old.inputRate)
            resampler = nil
        }
        if resampler == nil {
            resampler = try AudioResampler(
                path: path, inputRate: Int(rate), inputFormat: AVSampleFormat(shape.format), layout: shape.ch_layout,
                outputRate: options.sampleRate, outputChannels: options.channels)
        }
        let pts = shape.best_effort_timestamp
        if pts != cff_no_pts {
            let drift = ((Rational(pts) * decoder.timeBase - firstTime) * Rational(rate)).rounded - consumed
            if drift > 3600 * rate {
                throw MediaError(.malformed, path: path, "the time stamps of its sound jump by more than an hour")
            }
            if drift > rate / 10 {
                silence = drift
                return out
            }
            if drift < -rate / 10 {
                try moveOn()
                return out
            }
        }
        let count = hasUpcoming ? Int(shape.nb_samples) : lastLength(shape, rate: rate)
        if let resampler { out += try resampler.convert(frame.pointer, count: count) }
        consumed += Int64(count)
        try moveOn()
        return out
    }

    private func moveOn() throws {
        swap(&frame, &upcoming)
        hasFrame = hasUpcoming
        if hasFrame { hasUpcoming = try decoder.next(into: upcoming.pointer) }
    }

    /// Codecs fill their last frame up with nothing; the container may tell how much of it is sound.
    private func lastLength(_ shape: AVFrame, rate: Int64) -> Int {
        let count = Int64(shape.nb_samples)
        let told = (Rational(withUnsafePointer(to: shape) { cff_frame_duration($0) }) * decoder.timeBase * Rational(rate)).rounded
        // Containers that count in milliseconds round: that is no fill.
        return Int(told > 0 && told + rate / 500 < count ? told : count)
    }

    private func convertSilence() throws -> [Float] {
        guard let resampler else { return [] }
        let count = Int(min(silence, Int64(resampler.inputRate)))
        silence -= Int64(count)
        consumed += Int64(count)
        let bytes = count * Int(av_get_bytes_per_sample(resampler.inputFormat)) * max(1, resampler.inputChannels)
        // Unsigned 8-bit sound is silent at 128.
        let isUnsigned = [AV_SAMPLE_FMT_U8, AV_SAMPLE_FMT_U8P].contains(resampler.inputFormat)
        let zeros = [UInt8](repeating: isUnsigned ? 128 : 0, count: bytes)
        return try zeros.withUnsafeBufferPointer { buffer in
            var planes = [UnsafePointer<UInt8>?](repeating: buffer.baseAddress, count: max(1, resampler.inputChannels))
            return try resampler.convert(&planes, count: count)
        }
    }

    /// The resampler's tail, cut or filled so that the output is as long as the input to within half a sample.
    private func drain() throws -> [Float] {
        guard let resampler else { return [] }
        var tail = try resampler.flush()
        let due = (Rational(consumed) * Rational(Int64(options.sampleRate), Int64(resampler.inputRate))).rounded
        let missing = Int(due - produced) * options.channels - tail.count
        if missing < 0 { tail.removeLast(min(tail.count, -missing)) }
        if missing > 0, missing < options.sampleRate { tail += [Float](repeating: 0, count: missing) }
        return tail
    }
}
