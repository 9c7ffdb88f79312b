import Drawing
import NodeKit
import Perception

/// Draws what was tracked over the footage, for looking.
public struct PoseOverlay: Node {
    public static let type: NodeType = "pose.overlay"
    public static let version = 1
    public static let summary = "Draws skeleton, head sphere and face box over the footage, to look at them."

    @Input("The footage.", readsInOrder: true) var video: Video
    @Input("The skeleton; joints that were filled in get a white ring.") var pose: PoseTrack?
    @Input("The head: its sphere's outline and the way it looks.") var head: HeadTrack?
    @Input("The face: its box and landmarks.") var faces: FaceTrack?
    @Parameter("How dark the footage is made under the lines: 0 leaves it, 1 is black.", in: 0...1) var dim = 0.25
    @Parameter("Joints and heads below this confidence are not drawn.", in: 0...1) var confidence = 0.5
    @Output("The footage with the drawing.") var overlay: Video

    public init() {}

    public func run(in context: NodeContext) throws {
        let timeline = video.timeline
        for (name, count) in [("pose", pose?.count), ("head", head?.count), ("faces", faces?.count)] {
            guard let count, count != timeline.count else { continue }
            throw NodeError("'video' has \(timeline.count) frames and '\(name)' has \(count): wire both from the same clip")
        }
        try $overlay.write(width: video.width, height: video.height, expecting: timeline) { writer in
            for f in 0..<timeline.count {
                try context.checkCancelled()
                let canvas = try Canvas(width: video.width, height: video.height, rgb: video.frame(f))
                canvas.paint(.color(Color(0, 0, 0, dim)))
                if let faces { draw(faces, f, on: canvas) }
                if let pose { draw(pose, f, on: canvas) }
                if let head { draw(head, f, on: canvas) }
                try writer.append(canvas.rgb(), at: timeline.timestamps[f])
                context.progress(f + 1, of: timeline.count)
            }
            return timeline.end
        }
    }

    private func draw(_ pose: PoseTrack, _ f: Int, on canvas: Canvas) {
        let fit = CanvasFit(from: pose.width, pose.height, to: video.width, video.height)
        let joints = SkeletonFrame(pose, f, fit: fit)
        let half = max(1.5, SkeletonDrawing.automaticHalfWidth(width: video.width, height: video.height))
        SkeletonDrawing(halfWidth: half, confidenceThreshold: Float(confidence), drawsHead: true)
            .draw(keypoints: joints.keypoints, depth: joints.depth, confidence: joints.confidence, on: canvas)
        for j in 0..<PoseTrack.jointCount
        where pose.filled[f * PoseTrack.jointCount + j] != 0 && Double(joints.confidence[j]) >= confidence {
            let (x, y) = (Double(joints.keypoints[2 * j]), Double(joints.keypoints[2 * j + 1]))
            guard abs(x) < 1e5, abs(y) < 1e5 else { continue }
            canvas.stroke(.circle(center: Point(x, y), radius: half * 1.5), .white, width: 1)
        }
    }

    private func draw(_ head: HeadTrack, _ f: Int, on canvas: Canvas) {
        guard Double(head.confidence[f]) >= confidence, head.confidence[f] > 0 else { return }
        let fit = CanvasFit(from: head.width, head.height, to: video.width, video.height)
        let center = Point(Double(fit.x(head.center[2 * f])), Double(fit.y(head.center[2 * f + 1])))
        let radius = Double(head.radius[f] * fit.scale)
        guard radius > 0, radius < 1e5, abs(center.x) < 1e5, abs(center.y) < 1e5 else { return }
        let width = max(1.5, radius / 40)
        canvas.stroke(.circle(center: center, radius: radius), .white, width: width)
        // The head's axes: red to the person's left, green down, blue the way the face looks.
        let r = head.rotation[(9 * f)..<(9 * f + 9)].map(Double.init)
        for (column, sign, color) in [(0, 1.0, Color(1, 0.2, 0.2)), (1, 1.0, Color(0.2, 1, 0.2)), (2, -1.0, Color(0.3, 0.5, 1))] {
            let tip = Point(r[column] * sign * radius, r[3 + column] * sign * radius)
            canvas.line(from: center, to: center + tip, color, width: width)
        }
    }

    private func draw(_ faces: FaceTrack, _ f: Int, on canvas: Canvas) {
        guard Double(faces.confidence[f]) >= confidence, faces.confidence[f] > 0 else { return }
        let fit = CanvasFit(from: faces.width, faces.height, to: video.width, video.height)
        let box = faces.boxes[(4 * f)..<(4 * f + 4)].map { $0 }
        guard box.allSatisfy({ abs($0) < 1e5 }) else { return }
        canvas.stroke(
            .rectangle(
                Rect(
                    x: Double(fit.x(box[0])), y: Double(fit.y(box[1])), width: Double(box[2] * fit.scale),
                    height: Double(box[3] * fit.scale))),
            Color(1, 0.9, 0.2), width: 2)
        for j in 0..<faces.landmarkCount {
            let i = (f * faces.landmarkCount + j) * 3
            let point = Point(Double(fit.x(faces.landmarks[i])), Double(fit.y(faces.landmarks[i + 1])))
            guard abs(point.x) < 1e5, abs(point.y) < 1e5 else { continue }
            canvas.fill(.circle(center: point, radius: 0.8), Color(1, 0.9, 0.2, 0.7))
        }
    }
}
