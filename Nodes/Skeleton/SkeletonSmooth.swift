import NodeKit
import Perception
import PerceptionValues

/// Fills gaps of a skeleton and smooths it.
public struct SkeletonSmooth: Node {
    public static let type: NodeType = "skeleton.smooth"
    public static let version = 2
    public static let summary = "Fills short gaps of a skeleton (flagged) and smooths it with a one-euro filter, without lag."

    @Input("The skeleton as measured.") var pose: PoseTrack
    @Parameter("Joints below this confidence count as not seen.", in: 0...1) var confidence = 0.5
    @Parameter("The longest gap that is filled, in seconds; of a longer one the beginning is.", in: 0...10) var longestGap = 0.5
    @Parameter("Cutoff for a joint at rest, in hertz; 0 turns smoothing off.", in: 0...30) var cutoff = 2.0
    @Parameter("How the cutoff rises with speed, in hertz per shoulder width per second.", in: 0...100) var beta = 4.0
    @Parameter("How far ahead a frame looks, in seconds: what changes in a clip reaches back no further.", in: 0...10)
    var lookAhead = 0.2
    @Output("The skeleton without short gaps, smoothed; filled joints are flagged.") var smoothed: PoseTrack

    public init() {}

    public func run(in context: NodeContext) throws {
        let smoothing = JointTrackSmoothing(
            confidenceThreshold: Float(confidence), longestGap: longestGap, lookAhead: lookAhead,
            filter: cutoff > 0 ? OneEuroFilter(minimumCutoff: cutoff, beta: beta) : nil)
        let result = smoothing.applied(to: try JointTrack(pose))
        context.log("filled \(result.filled.filter { $0 != 0 }.count) joint positions in \(pose.count) frames")
        try $smoothed.set(PoseTrack(result, timeline: pose.timeline))
    }
}
