import Models
import NodeKit
import Tensors

/// Brings a clip to a canvas and to the length of whole segments, as the published Wan-Animate pipeline does.
public struct VideoFit: Node {
    public static let type: NodeType = "video.fit"
    public static let version = 2
    public static let summary = "Brings frames to a canvas and goes on back and forth to the end of the segments."
    public static let cost = NodeCost(threads: .all)

    @Input("The frames.") var video: Video?
    @Input("Control images, instead of 'video'.") var maps: Maps?
    @Input("A clip whose size is taken.") var like: Video?
    @Input("A picture whose size is taken.") var likeImage: Image?
    @Input("Segments that may reach beyond the clip: frames go on back and forth to their end, or are cut there.") var segments: Segments?
    @Parameter("Size of the frames; not set: that of 'like' or 'likeImage', else their own within 'area'.") var size: PixelSize? = nil
    @Parameter("Without size and 'like': the largest area, as the size of one shape; not set: no change of size at all.") var area: PixelSize? = nil
    @Parameter("With area: both sides become multiples of this.", in: 1...1024) var align = 16
    @Parameter("Where the shapes differ: pad with black, or stretch.") var fit = Fitting.stretch
    @Parameter("How frames are resized.") var filter = Filter.lanczos
    @Parameter("With pad: the side of the larger part of an odd margin.") var oddMargin = Side.before
    @Parameter("Beyond the clip's end: reflect (0 1 2 1 0) or, with the ends repeated, symmetric (0 1 2 2 1 0).") var beyond = Beyond.reflect
    @Output("The frames.") var fitted: Video

    /// How a clip goes on beyond its end.
    public enum Beyond: String, ParameterChoice {
        case reflect, symmetric
    }

    public init() {}

    public func run(in context: NodeContext) throws {
        let source: FrameStore
        switch (video, maps) {
        case (let video?, nil): source = video.frames
        case (nil, let maps?): source = maps.frames
        default: throw NodeError("wire either 'video' or 'maps', not \(video == nil ? "neither" : "both")")
        }
        let old = source.timeline
        guard old.count > 0 else { throw NodeError("the clip has no frames") }
        let canvas = try canvas(source)
        let count = segments?.ranges.map(\.upperBound).max() ?? old.count
        let step = max(1, old.end - (old.timestamps.last ?? 0))
        try $fitted.write(width: canvas.width, height: canvas.height, timeBase: old.timeBase) { writer in
            for index in 0..<count {
                try context.checkCancelled()
                let place = beyond == .reflect ? WanFraming.backAndForth(index, count: old.count) : WanFraming.mirrored(index, count: old.count)
                let frame = source.frame(place)
                let pixels = Parallel.$threads.withValue(context.threads) {
                    fit(frame, width: source.width, height: source.height, canvas: canvas, filter, oddMargin)
                }
                let beyond = Int64(index - old.count)
                try writer.append(pixels, at: index < old.count ? old.timestamps[index] : old.end + beyond * step)
                context.progress(index + 1, of: count)
            }
            return count < old.count ? old.timestamps[count] : old.end + Int64(count - old.count) * step
        }
    }

    private func canvas(_ source: FrameStore) throws -> (width: Int, height: Int) {
        if let size { return (size.width, size.height) }
        if let like { return (like.width, like.height) }
        if let likeImage { return (likeImage.width, likeImage.height) }
        guard let area else { return (source.width, source.height) }
        return WanFraming.canvas(width: source.width, height: source.height, area: area.width * area.height, align: align)
    }
}
