import Media
import NodeKit

/// Decodes the sound of a file.
public struct AudioDecode: Node {
    public static let type: NodeType = "audio.decode"
    public static let version = 1
    public static let summary = "Decodes the sound of a film or sound file to mono samples on the picture's clock."

    /// What to do about a film without sound.
    public enum Missing: String, ParameterChoice { case error, silence }

    @Input("A film or sound file that FFmpeg reads.") var file: File
    @Input("The frames that the sound goes with, so that a wire can cut it by frames.") var video: Video?
    @Parameter("Samples per second.", in: 1000...192_000) var rate = 16_000
    @Parameter("Start in the file, in seconds; becomes time 0: the same as the video.decode beside it.", in: 0...1e6)
    var start: Double = 0
    @Parameter("End in the file, in seconds; not set: to its end.", in: 0...1e6) var end: Double? = nil
    @Parameter("For a film without sound: fail, or give silence as long as the film.") var missing = Missing.error
    @Output("The samples.") var audio: Audio

    public init() {}

    public func run(in context: NodeContext) throws {
        var options = AudioReader.Options()
        options.sampleRate = rate
        options.start = start > 0 ? try Media.Rational(parameter: "start", seconds: start) : nil
        options.end = try end.map { try Media.Rational(parameter: "end", seconds: $0) }
        if missing == .silence, video != nil, TensorPictures.isOne(file.path) { return try $audio.set(silence(options)) }
        let reader: AudioReader
        do {
            reader = try AudioReader(path: file.path, options: options)
        } catch let error as MediaError where error.code == .noStream {
            guard missing == .silence else {
                throw NodeError("\(error); set 'missing: silence' to go on without sound")
            }
            try $audio.set(silence(options))
            return
        }
        var samples: [Float] = []
        let total = reader.source.duration.map { Int(clamping: $0.rounded) }
        while let chunk = try reader.next() {
            try context.checkCancelled()
            samples += chunk
            context.progress(samples.count / rate, of: total.map { max($0, samples.count / rate) }, "seconds")
        }
        reader.warnings.forEach(context.log)
        guard !samples.isEmpty else {
            throw NodeError("\(file.path): no sound between \(start) s and \(end.map { "\($0) s" } ?? "the end")")
        }
        try $audio.set(
            Audio(
                sampleRate: rate, start: NodeKit.Rational(reader.start), samples: samples, frameTimes: video?.timeline))
    }

    /// Silence as long as the film: by its frames where they are wired, else as the file says.
    private func silence(_ options: AudioReader.Options) throws -> Audio {
        let seconds: Double
        if let timeline = video?.timeline {
            seconds = Double(timeline.end) * timeline.timeBase.value
        } else {
            guard let length = try MediaInfo(path: file.path).video?.duration else {
                throw NodeError("\(file.path): has no sound, and does not say how long it is; wire 'video' to tell")
            }
            let stop = min(length, options.end ?? length)
            seconds = max(0, (stop - (options.start ?? .zero)).doubleValue)
        }
        let count = Int((min(seconds, 1e6) * Double(rate)).rounded())
        return Audio(sampleRate: rate, samples: [Float](repeating: 0, count: count), frameTimes: video?.timeline)
    }
}
