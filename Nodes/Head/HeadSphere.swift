import NodeKit
import Perception
import PerceptionValues

/// Draws the head as a sphere.
public struct HeadSphere: Node {
    public static let type: NodeType = "head.sphere"
    public static let version = 2
    public static let summary = "Draws the head as a shaded sphere whose colour encodes where it looks."

    @Input("The driving head: place and rotation.") var head: HeadTrack
    @Input("The reference's own head, whose size the sphere takes; the driving head's if not wired.") var reference: HeadTrack?
    @Input("The driving skeleton after bone normalisation: the sphere goes where its head went.") var pose: PoseTrack?
    @Input("The driving skeleton before bone normalisation; needed with `pose`.") var drivingPose: PoseTrack?
    @Parameter("Canvas of the maps, in pixels; that of `pose`, else of `head`, if not set.") var size: PixelSize? = nil
    @Parameter("Heads below this confidence are not drawn.", in: 0...1) var confidence = 0.2
    @Parameter(
        "Frames from the start over which a head's size is measured, more where they show none; 0: the whole clip.",
        in: 0...1_000_000)
    var measure = 24
    @Output("One sphere map per frame, RGB on black.") var maps: Maps

    public init() {}

    public func run(in context: NodeContext) throws {
        let timeline = head.timeline
        if (pose == nil) != (drivingPose == nil) {
            throw NodeError(
                "'pose' and 'drivingPose' go together: wire the skeleton after and before bone normalisation, or neither")
        }
        let canvas = size ?? PixelSize(pose?.width ?? head.width, pose?.height ?? head.height)
        let placement = try HeadPlacement(
            head: head, reference: reference, normalized: try pose.map { try JointTrack($0) },
            driving: try drivingPose.map { try JointTrack($0) }, width: canvas.width, height: canvas.height,
            window: MeasuringWindow(frames: measure))
        let drawing = HeadSphereDrawing()
        try $maps.write(width: canvas.width, height: canvas.height, expecting: timeline) { writer in
            for f in 0..<timeline.count {
                try context.checkCancelled()
                var pixels = [UInt8](repeating: 0, count: canvas.width * canvas.height * 3)
                if Double(head.confidence[f]) >= confidence, head.confidence[f] > 0 {
                    let place = placement.place(f)
                    drawing.draw(
                        rotation: Array(head.rotation[(9 * f)..<(9 * f + 9)]), centerX: place.x, centerY: place.y,
                        radius: place.radius, into: &pixels, width: canvas.width, height: canvas.height)
                }
                try writer.append(pixels, at: timeline.timestamps[f])
                context.progress(f + 1, of: timeline.count)
            }
            return timeline.end
        }
    }
}
