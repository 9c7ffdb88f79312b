import Safetensors

/// Mono sound: `samples` f32 `[samples]`, in −1…1.
public struct Audio: WritableValue, TimeSliceable {
    public static let portType = PortType.audio
    /// In hertz.
    public let sampleRate: Int
    /// When the first sample sounds, in seconds on the clip's clock.
    public let start: Rational
    public let samples: [Float]
    /// The frames that the sound goes with, where it was decoded along a video: lets a wire cut it by frames.
    public let frameTimes: Timeline?

    public init(sampleRate: Int, start: Rational = Rational(0), samples: [Float], frameTimes: Timeline? = nil) {
        self.sampleRate = sampleRate
        self.start = start
        self.samples = samples
        self.frameTimes = frameTimes
    }

    /// In seconds.
    public var duration: Double { Double(samples.count) / Double(sampleRate) }

    private struct Metadata: Codable {
        var sampleRate: Int
        var start: Rational
        var frames: Timeline.Metadata?
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let metadata = try file.metadata(Metadata.self, of: Self.portType)
        guard (1...1_000_000).contains(metadata.sampleRate) else {
            throw NodeError("\(artifact.path): a sample rate of \(metadata.sampleRate) Hz")
        }
        self.init(
            sampleRate: metadata.sampleRate, start: metadata.start,
            samples: try file.array("samples", of: Float.self, shape: [-1]),
            frameTimes: try metadata.frames.map { try Timeline(file: file, metadata: $0) })
    }

    public func write(to writer: ArtifactWriter) throws {
        if let frameTimes { try frameTimes.write(to: writer) }
        try writer.write("samples", samples, shape: [samples.count])
        try writer.set(metadata: Metadata(sampleRate: sampleRate, start: start, frames: frameTimes?.metadata))
    }

    public func write(frames: Range<Int>, to writer: ArtifactWriter) throws {
        guard let frameTimes else {
            throw NodeError("this sound belongs to no frames; cut the features made from it instead")
        }
        let part = try frameTimes.slice(frames)
        let from = Int(((part.seconds(0) - start.value) * Double(sampleRate)).rounded())
        let to = from + Int((part.duration * Double(sampleRate)).rounded())
        let cut = (from..<to).map { samples.indices.contains($0) ? samples[$0] : 0 }
        let first = Rational(Int(part.timestamps[0]) * part.timeBase.numerator, part.timeBase.denominator)
        try Audio(sampleRate: sampleRate, start: first, samples: cut, frameTimes: part).write(to: writer)
    }
}
