import NodeKit
import Perception

/// Draws skeletons as control images.
public struct PoseMaps: Node {
    public static let type: NodeType = "pose.maps"
    public static let version = 1
    public static let summary = "Draws body and hands as coloured lines, nearer limbs over farther ones."

    @Input("The skeleton.") var pose: PoseTrack
    @Parameter("Canvas of the maps, in pixels; the skeleton's own if not set. The skeleton is scaled with its aspect kept.")
    var size: PixelSize? = nil
    @Parameter("Half the width of limbs, in pixels; from the canvas if not set.", in: 0.25...64) var thickness: Double? = nil
    @Parameter("Joints below this confidence are not drawn.", in: 0...1) var confidence = 0.5
    @Parameter("Whether nose, eyes and ears are drawn too; the head sphere stands for them otherwise.") var drawHead = false
    @Output("One skeleton map per frame, RGB on black.") var maps: Maps

    public init() {}

    public func run(in context: NodeContext) throws {
        let canvas = size ?? PixelSize(pose.width, pose.height)
        let fit = CanvasFit(from: pose.width, pose.height, to: canvas.width, canvas.height)
        let drawing = SkeletonDrawing(
            halfWidth: thickness, confidenceThreshold: Float(confidence), drawsHead: drawHead)
        let timeline = pose.timeline
        try $maps.write(width: canvas.width, height: canvas.height, expecting: timeline) { writer in
            for f in 0..<timeline.count {
                try context.checkCancelled()
                let joints = SkeletonFrame(pose, f, fit: fit)
                try writer.append(
                    drawing.map(
                        keypoints: joints.keypoints, depth: joints.depth, confidence: joints.confidence,
                        width: canvas.width, height: canvas.height),
                    at: timeline.timestamps[f])
                context.progress(f + 1, of: timeline.count)
            }
            return timeline.end
        }
    }
}

/// One frame of a skeleton in canvas pixels.
struct SkeletonFrame {
    let keypoints: [Float]
    let depth: [Float]
    let confidence: [Float]

    init(_ pose: PoseTrack, _ f: Int, fit: CanvasFit) {
        let joints = PoseTrack.jointCount
        keypoints = fit.points(pose.keypoints[(f * joints * 2)..<((f + 1) * joints * 2)])
        depth = (0..<joints).map { pose.positions[(f * joints + $0) * 3 + 2] }
        confidence = Array(pose.confidence[(f * joints)..<((f + 1) * joints)])
    }
}
