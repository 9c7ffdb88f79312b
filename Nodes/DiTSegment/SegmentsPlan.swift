import NodeKit

/// Plans the segments that a clip is generated in.
public struct SegmentsPlan: Node {
    public static let type: NodeType = "segments.plan"
    public static let version = 1
    public static let summary =
        "Cuts a clip into segments of 1 + 4k frames, each beginning at the last frame, or frames, of the one before."

    @Input("The driving clip.") var video: Video
    @Parameter("Frames per segment, 1 + 4k: as many as the model was trained on.", in: 5...1201) var frames = 73
    @Parameter("Frames that a segment shares with the one before: 1 for a hand-over in latents, 1 or 5 in pixels.", in: 1...1200)
    var overlap = 1
    @Parameter("Whether the last segment is as long as the others, beyond the clip's end; else it is as long as the rest of the clip.")
    var whole = false
    @Output("Frame ranges.") var list: Segments

    public init() {}

    public func run(in context: NodeContext) throws {
        guard frames % 4 == 1 else {
            let lower = (frames - 1) / 4 * 4 + 1
            throw NodeError(
                "segments of \(frames) frames do not fit the latent grid; 1 + 4k are needed, such as \(lower) or \(lower + 4)"
            )
        }
        guard overlap < frames else { throw NodeError("segments of \(frames) frames cannot share \(overlap)") }
        guard video.count > 0 else { throw NodeError("the video has no frames") }
        try $list.set(
            Segments(ranges: SegmentPlan(frames: video.count, length: frames, overlap: overlap, isWhole: whole).ranges, frameCount: video.count))
    }
}
