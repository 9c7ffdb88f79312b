import Media
import NodeKit

/// Decodes a film file to frames.
public struct VideoDecode: Node {
    public static let type: NodeType = "video.decode"
    public static let version = 1
    /// A second thread hashes and writes frames while the next are decoded.
    public static let cost = NodeCost(helpers: 1)
    public static let summary = "Decodes a film to upright RGB frames with exact time stamps. Reads bytes of a safetensors file too."

    /// Which source frame stands for an instant when the frame rate is changed; see `Media.FrameSelection`.
    public enum Pick: String, ParameterChoice {
        case nearest
        case atOrBefore = "at-or-before"
    }

    @Input("A film that FFmpeg reads.") var file: File
    @Parameter("Frames per second to convert to, such as 24 or 30000/1001; not set: the film's own frames and stamps.")
    var fps: NodeKit.Rational? = nil
    @Parameter("With fps: show the frame nearest in time, or the one a player shows at that instant.") var pick = Pick.nearest
    @Parameter("Size of the frames; not set: the film's own, in square pixels.") var size: PixelSize? = nil
    @Parameter("Without size: round both sides to a multiple of this (16 suits the VAE and DiT).", in: 1...1024) var align = 1
    @Parameter("What to do where the shapes differ: pad with black, crop, or stretch.") var fit = FitChoice.pad
    @Parameter("What transparent parts are laid over: black suits masks and skeletons.") var backdrop = BackdropChoice.white
    @Parameter("Start in the file, in seconds; becomes time 0.", in: 0...1e6) var start: Double = 0
    @Parameter("End in the file, in seconds; not set: to its end.", in: 0...1e6) var end: Double? = nil
    @Parameter("In a safetensors file: the tensor, bytes [frames, height, width, 1 or 3], shown at 'fps' (30 if not set); not set: the only such one.")
    var tensor: String? = nil
    @Output("The frames.") var video: Video

    public init() {}

    public func run(in context: NodeContext) throws {
        if TensorPictures.isOne(file.path) { return try readTensor(context) }
        var options = VideoReader.Options()
        options.frameRate = fps.map { Media.Rational($0) }
        options.selection = pick == .nearest ? .nearest : .atOrBefore
        options.size = size?.frameSize
        options.align = align
        options.fit = fit.fit
        options.backdrop = backdrop == .black ? .black : .white
        options.start = start > 0 ? try Media.Rational(parameter: "start", seconds: start) : nil
        options.end = try end.map { try Media.Rational(parameter: "end", seconds: $0) }
        options.threads = max(context.threads - 1, 1)
        let reader = try VideoReader(path: file.path, options: options)
        let expected = expectedCount(reader)
        func decode(into frames: FrameWriter) throws -> Int64 {
            var last: Int64 = 0
            while let frame = try reader.next() {
                try context.checkCancelled()
                try frames.append(frame.image.pixels, at: frame.ticks)
                last = frame.ticks
                context.progress(frames.count, of: expected.map { max($0, frames.count) })
            }
            return max(reader.endTicks ?? 0, last + 1)
        }
        let (width, height, timeBase) = (reader.size.width, reader.size.height, NodeKit.Rational(reader.timeBase))
        if $video.mayStream, let times = try? VideoReader.times(path: file.path, options: options), let last = times.ticks.last {
            let timeline = Timeline(timeBase: timeBase, timestamps: times.ticks, end: max(times.end ?? 0, last + 1))
            try $video.write(width: width, height: height, expecting: timeline, threads: context.threads, decode)
        } else {
            try $video.write(width: width, height: height, timeBase: timeBase, threads: context.threads, decode)
        }
        reader.warnings.forEach(context.log)
    }

    private func readTensor(_ context: NodeContext) throws {
        let clip = try TensorPictures(path: file.path, tensor: tensor, rank: 4)
        guard size == nil, align == 1, start == 0, end == nil else {
            throw NodeError("a clip in a safetensors file is taken whole, \(clip.width)×\(clip.height): remove 'size', 'align', 'start' and 'end'")
        }
        let timeline = Timeline(rate: fps ?? NodeKit.Rational(30), count: clip.count)
        try $video.write(width: clip.width, height: clip.height, timeBase: timeline.timeBase) { frames in
            for index in 0..<clip.count {
                try context.checkCancelled()
                try frames.append(clip.picture(index), at: timeline.timestamps[index])
                context.progress(index + 1, of: clip.count)
            }
            return timeline.end
        }
    }

    /// How many frames will come, as the file says.
    private func expectedCount(_ reader: VideoReader) -> Int? {
        guard let rate = reader.options.frameRate ?? reader.source.frameRate else { return nil }
        let start = reader.options.start ?? .zero
        let ends = [reader.source.duration, reader.options.end].compactMap { $0 }
        guard let end = ends.min(), end > start else { return nil }
        return Int(clamping: ((end - start) * rate).rounded)
    }
}
