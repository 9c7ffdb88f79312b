import NodeKit

/// Plans the segments that a clip is generated in.
public struct SegmentsPlan: Node {
    public static let type: NodeType = "segments.plan"
    public static let version = 1
    public static let summary =
        "Cuts a clip into segments of 1 + 4k frames, each beginning at the last frame of the one before."

    @Input("The driving clip.") var video: Video
    @Parameter("Frames per segment, 1 + 4k: as many as the model was trained on.", in: 5...1201) var frames = 73
    @Output("Frame ranges; the last is as long as the rest of the clip.") var list: Segments

    public init() {}

    public func run(in context: NodeContext) throws {
        guard frames % 4 == 1 else {
            let lower = (frames - 1) / 4 * 4 + 1
            throw NodeError(
                "segments of \(frames) frames do not fit the latent grid; 1 + 4k are needed, such as \(lower) or \(lower + 4)"
            )
        }
        guard video.count > 0 else { throw NodeError("the video has no frames") }
        try $list.set(
            Segments(ranges: SegmentPlan(frames: video.count, length: frames).ranges, frameCount: video.count))
    }
}
