import Drawing
import NodeKit
import Perception

/// Draws where the person is, from the skeleton.
public struct PoseMask: Node {
    public static let type: NodeType = "pose.mask"
    public static let version = 1
    public static let summary = "Draws a person's outline as a mask, from the skeleton: white where the person is."

    @Input("The skeleton.") var pose: PoseTrack
    @Parameter("Canvas of the masks, in pixels; the skeleton's own if not set.") var size: PixelSize? = nil
    @Parameter("Width of limbs and head; 1 is close to the body, more takes in clothes and hair.", in: 0.25...5) var growth = 1.6
    @Parameter("Joints below this confidence are left out.", in: 0...1) var confidence = 0.5
    @Output("One mask per frame: white on black.") var mask: Maps

    public init() {}

    public func run(in context: NodeContext) throws {
        let canvas = size ?? PixelSize(pose.width, pose.height)
        let fit = CanvasFit(from: pose.width, pose.height, to: canvas.width, canvas.height)
        let timeline = pose.timeline
        try $mask.write(width: canvas.width, height: canvas.height, timeBase: timeline.timeBase) { writer in
            for f in 0..<timeline.count {
                try context.checkCancelled()
                let drawing = try Canvas(width: canvas.width, height: canvas.height, background: .black)
                PersonOutline(SkeletonFrame(pose, f, fit: fit), confidence: Float(confidence), growth: growth)?.draw(on: drawing)
                // A mask has no grey.
                try writer.append(drawing.rgb().map { $0 >= 128 ? 255 : 0 }, at: timeline.timestamps[f])
                context.progress(f + 1, of: timeline.count)
            }
            return timeline.end
        }
    }
}

/// A body of capsules around one frame's joints.
private struct PersonOutline {
    private let points: [Point?]
    /// About the width of the shoulders, in pixels.
    private let unit: Double

    /// Nil where no body is seen.
    init?(_ frame: SkeletonFrame, confidence: Float, growth: Double) {
        let points = (0..<PoseTrack.jointCount).map { j -> Point? in
            let (x, y) = (Double(frame.keypoints[2 * j]), Double(frame.keypoints[2 * j + 1]))
            guard frame.confidence[j] >= confidence, x.isFinite, y.isFinite, abs(x) < 1e5, abs(y) < 1e5 else { return nil }
            return Point(x, y)
        }
        func distance(_ a: Int, _ b: Int) -> Double? {
            guard let a = points[a], let b = points[b] else { return nil }
            return (a - b).length
        }
        // Seen from the side the shoulders are one: the torso measures too.
        let torsos = [distance(11, 23), distance(12, 24)].compactMap { $0 }.map { $0 * 0.6 }
        guard let width = ([distance(11, 12), distance(7, 8).map { $0 * 2 }].compactMap { $0 } + torsos).max(), width > 0 else { return nil }
        self.points = points
        unit = width * growth
    }

    /// From joint, to joint, half widths at both in units.
    private static let limbs: [(Int, Int, Double, Double)] = [
        (11, 13, 0.17, 0.13), (13, 15, 0.13, 0.10), (12, 14, 0.17, 0.13), (14, 16, 0.13, 0.10), (23, 25, 0.24, 0.17), (25, 27, 0.17, 0.12),
        (24, 26, 0.24, 0.17), (26, 28, 0.17, 0.12), (27, 31, 0.12, 0.10), (28, 32, 0.12, 0.10), (27, 29, 0.12, 0.10), (28, 30, 0.12, 0.10),
        (11, 12, 0.20, 0.20), (23, 24, 0.24, 0.24), (11, 23, 0.20, 0.22), (12, 24, 0.20, 0.22), (11, 24, 0.20, 0.22), (12, 23, 0.20, 0.22),
    ]

    func draw(on canvas: Canvas) {
        for (a, b, from, to) in Self.limbs {
            guard let a = points[a], let b = points[b] else { continue }
            canvas.fill(.capsule(from: a, radius: from * unit, to: b, radius: to * unit), .white)
        }
        for joint in Skeleton.leftHand..<PoseTrack.jointCount {
            if let point = points[joint] { canvas.fill(.circle(center: point, radius: 0.10 * unit), .white) }
        }
        let head = [0, 7, 8].compactMap { points[$0] }
        guard !head.isEmpty else { return }
        let centre = head.reduce(Point.zero) { $0 + $1 } * (1 / Double(head.count))
        canvas.fill(.circle(center: centre, radius: 0.42 * unit), .white)
        if let left = points[11], let right = points[12] {
            canvas.fill(.capsule(from: centre, radius: 0.2 * unit, to: left.lerp(to: right, 0.5), radius: 0.2 * unit), .white)
        }
    }
}
