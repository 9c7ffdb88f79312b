import Media
import NodeKit

/// Sound for a film, handed over stretch by stretch.
protocol Sound: AnyObject {
    var sampleRate: Int { get }
    var channels: Int { get }
    /// Time of the first sample in seconds on the frames' clock.
    var start: Media.Rational { get }
    var warnings: [String] { get }
    /// Hands over the samples up to sample frame `end` (counted from the first) that were not handed over yet.
    func read(until end: Int64, _ body: ([Float]) throws -> Void) throws
}

/// Sound that is in memory.
final class SampleSound: Sound {
    private let audio: Audio
    private var position = 0

    init(_ audio: Audio) { self.audio = audio }

    var sampleRate: Int { audio.sampleRate }
    let channels = 1
    var start: Media.Rational { Media.Rational(audio.start) }
    let warnings: [String] = []

    func read(until end: Int64, _ body: ([Float]) throws -> Void) throws {
        let stop = Int(max(0, min(Int64(audio.samples.count), end)))
        guard stop > position else { return }
        try body(Array(audio.samples[position..<stop]))
        position = stop
    }
}

/// The sound of a file, decoded on the way.
final class FileSound: Sound {
    private let reader: AudioReader
    private var buffer: [Float] = []
    private var position: Int64 = 0
    private var isAtEnd = false

    /// - Parameters:
    ///   - start: where the frames' time 0 lies in the file, in seconds.
    ///   - frames: the frames that the sound goes with; sound before the first and after the last is left out.
    init(path: String, start: Double, frames: Timeline) throws {
        let base = Media.Rational(frames.timeBase)
        let zero = try Media.Rational(parameter: "soundtrackStart", seconds: start)
        offset = Media.Rational(frames.timestamps.first ?? 0) * base
        var options = AudioReader.Options()
        // The reader's time 0 is the first frame; a film that starts before its soundtrack waits for it.
        options.start = max(.zero, zero + offset)
        options.end = zero + Media.Rational(frames.end) * base
        let rate = try MediaInfo(path: path).audio?.sampleRate ?? 48_000
        options.sampleRate = [44_100, 48_000].contains(rate) ? rate : 48_000
        options.channels = 2
        reader = try AudioReader(path: path, options: options)
    }

    private let offset: Media.Rational

    var sampleRate: Int { reader.options.sampleRate }
    let channels = 2
    var start: Media.Rational { reader.start + offset }
    var warnings: [String] { reader.warnings }

    func read(until end: Int64, _ body: ([Float]) throws -> Void) throws {
        while !isAtEnd, position + Int64(buffer.count / channels) < end {
            if let chunk = try reader.next() { buffer += chunk } else { isAtEnd = true }
        }
        let count = Int(max(0, min(Int64(buffer.count / channels), end - position)))
        guard count > 0 else { return }
        try body(Array(buffer[..<(count * channels)]))
        buffer.removeFirst(count * channels)
        position += Int64(count)
    }
}
