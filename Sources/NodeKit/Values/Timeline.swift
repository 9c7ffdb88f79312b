import Safetensors

/// When each frame of a sequence is shown: integer stamps in a rational time base, never «about 30 fps».
public struct Timeline: Sendable, Hashable {
    /// Seconds per tick.
    public let timeBase: Rational
    /// Start of each frame in ticks, strictly increasing.
    public let timestamps: [Int64]
    /// End of the last frame in ticks.
    public let end: Int64

    public init(timeBase: Rational, timestamps: [Int64], end: Int64) {
        self.timeBase = timeBase
        self.timestamps = timestamps
        self.end = end
    }

    /// Frames at a constant rate from time zero.
    ///
    /// - Parameter rate: Frames per second.
    public init(rate: Rational, count: Int) {
        let timeBase = rate.inverse ?? Rational(1, 25)
        self.init(timeBase: timeBase, timestamps: (0..<max(count, 0)).map(Int64.init), end: Int64(max(count, 0)))
    }

    public var count: Int { timestamps.count }

    /// Start of a frame, in seconds.
    public func seconds(_ frame: Int) -> Double { Double(timestamps[frame]) * timeBase.value }

    /// From the first frame's start to the last frame's end, in seconds.
    public var duration: Double { count == 0 ? 0 : Double(end - timestamps[0]) * timeBase.value }

    /// Frames per second, on average; nil for an empty sequence.
    public var averageRate: Double? { duration > 0 ? Double(count) / duration : nil }

    /// The frames of a range, at their own times.
    ///
    /// - Throws: ``NodeError`` when the range leaves the sequence.
    public func slice(_ frames: Range<Int>) throws -> Timeline {
        guard frames.lowerBound >= 0, frames.upperBound <= count, !frames.isEmpty else {
            throw NodeError("frames \(frames) of a sequence of \(count)")
        }
        return Timeline(
            timeBase: timeBase, timestamps: Array(timestamps[frames]),
            end: frames.upperBound < count ? timestamps[frames.upperBound] : end)
    }

    /// The part of a timeline that stands in metadata; the stamps themselves are the tensor `timestamps`.
    public struct Metadata: Codable, Sendable, Hashable {
        public var timeBase: Rational
        public var end: Int64

        public init(timeBase: Rational, end: Int64) {
            self.timeBase = timeBase
            self.end = end
        }
    }

    public var metadata: Metadata { Metadata(timeBase: timeBase, end: end) }

    /// Reads the stamps of an artifact and checks that they increase.
    public init(file: SafetensorsFile, metadata: Metadata) throws {
        let stamps = try file.array("timestamps", of: Int64.self, shape: [-1])
        for i in stamps.indices.dropFirst() where stamps[i] <= stamps[i - 1] {
            throw NodeError("\(file.file.path): time stamps do not increase at frame \(i)")
        }
        if let last = stamps.last, metadata.end <= last {
            throw NodeError("\(file.file.path): ends at tick \(metadata.end), before its last frame does")
        }
        guard metadata.timeBase.numerator > 0 else {
            throw NodeError("\(file.file.path): time base \(metadata.timeBase) is not positive")
        }
        self.init(timeBase: metadata.timeBase, timestamps: stamps, end: metadata.end)
    }

    /// Writes the stamps as the tensor `timestamps`.
    public func write(to writer: ArtifactWriter) throws {
        try writer.write("timestamps", timestamps, shape: [count])
    }
}
