import Drawing
import Foundation
import NodeKit
import Perception

extension Inspection {
    static func pose(_ pose: NodeKit.PoseTrack, backdrop: BackdropSearch) throws -> Inspection {
        let joints = NodeKit.PoseTrack.jointCount
        func seen(_ range: Range<Int>) -> String {
            let part = (0..<pose.count).flatMap { frame in range.map { pose.confidence[frame * joints + $0] } }
            let count = part.count { $0 >= 0.5 }
            return "\(part.isEmpty ? 0 : 100 * count / part.count) % of joints"
        }
        let filled = pose.filled.count { $0 != 0 }
        let facts =
            timeFacts(pose.timeline) + [
                Fact("measured in", "\(pose.width) × \(pose.height) pixels"), Fact("body seen", seen(0..<33)),
                Fact("left hand seen", seen(33..<54)), Fact("right hand seen", seen(54..<75)),
                Fact("filled", "\(filled) of \(pose.filled.count) joints"),
                Fact("confidence", range(pose.confidence)), Fact("reach", reach(pose)),
            ]
        let lines = max(ContactSheet(count: pose.count, width: pose.width, height: pose.height).lineWidth(1.4), 1)
        let drawing = SkeletonDrawing(halfWidth: lines, confidenceThreshold: 0.3, drawsHead: true)
        let sheet = try overlay(pose.timeline, width: pose.width, height: pose.height, backdrop: backdrop) { frame, canvas in
            let rows = (frame * joints)..<((frame + 1) * joints)
            let keypoints = Array(pose.keypoints[(rows.lowerBound * 2)..<(rows.upperBound * 2)])
            let depth: [Float] = rows.map { pose.positions[$0 * 3 + 2] }
            drawing.draw(keypoints: keypoints, depth: depth, confidence: Array(pose.confidence[rows]), on: canvas)
        }
        return Inspection(facts: facts, preview: sheet)
    }

    /// How far the joints that were seen spread, over all frames.
    private static func reach(_ pose: NodeKit.PoseTrack) -> String {
        let sides = (0..<3).map { axis in
            let values = pose.confidence.indices.lazy.filter { pose.confidence[$0] >= 0.5 }.map { pose.positions[$0 * 3 + axis] }
            return short((values.max() ?? 0) - (values.min() ?? 0))
        }
        return "\(sides[0]) m wide, \(sides[1]) m high, \(sides[2]) m deep"
    }

    static func head(_ head: HeadTrack, backdrop: BackdropSearch) throws -> Inspection {
        // Rotation columns are the head's axes in camera space; yaw, pitch and roll of the axis that leaves the face.
        func angle(_ frame: Int, _ f: (ArraySlice<Float>) -> Float) -> Float {
            f(head.rotation[(frame * 9)..<(frame * 9 + 9)]) * 180 / .pi
        }
        let frames = 0..<head.count
        let yaw = frames.map { angle($0) { r in atan2(r[r.startIndex + 2], r[r.startIndex + 8]) } }
        let pitch = frames.map { angle($0) { r in asin(max(-1, min(1, -r[r.startIndex + 5]))) } }
        let roll = frames.map { angle($0) { r in atan2(r[r.startIndex + 3], r[r.startIndex]) } }
        let sheetLine = ContactSheet(count: head.count, width: head.width, height: head.height).lineWidth(1.6)
        let sheet = try overlay(head.timeline, width: head.width, height: head.height, backdrop: backdrop) { frame, canvas in
            let center = Point(Double(head.center[frame * 2]), Double(head.center[frame * 2 + 1]))
            let radius = Double(head.radius[frame])
            let line = sheetLine
            canvas.stroke(.circle(center: center, radius: radius), Color(1, 0.85, 0.1), width: line)
            let r = (0..<9).map { Double(head.rotation[frame * 9 + $0]) }
            for (axis, color) in [Color(1, 0.3, 0.3), Color(0.3, 1, 0.3), Color(0.4, 0.6, 1)].enumerated() {
                canvas.line(from: center, to: center + Point(r[axis], r[3 + axis]) * radius, color, width: line)
            }
        }
        let plot = Plot(
            title: "head", xLabel: "seconds", x: frames.map { head.timeline.seconds($0) },
            panels: [
                .init(label: "angle, degrees", curves: [("yaw", yaw), ("pitch", pitch), ("roll", roll)]),
                .init(label: "radius, pixels", curves: [("radius", head.radius)]),
                .init(label: "confidence", curves: [("confidence", head.confidence)], range: 0...1),
            ], width: max(1000, sheet.width))
        return Inspection(
            facts: timeFacts(head.timeline) + [
                Fact("yaw", range(yaw, unit: "degrees")), Fact("pitch", range(pitch, unit: "degrees")),
                Fact("roll", range(roll, unit: "degrees")), Fact("radius", range(head.radius, unit: "pixels")),
                Fact("found", "\(head.confidence.count { $0 >= 0.5 }) of \(head.count) frames"),
            ],
            preview: try stack(head.count > 1 ? [sheet, plot.draw()] : [sheet]))
    }

    static func faces(_ faces: FaceTrack, backdrop: BackdropSearch) throws -> Inspection {
        let line = ContactSheet(count: faces.count, width: faces.width, height: faces.height).lineWidth(1.2)
        let sheet = try overlay(faces.timeline, width: faces.width, height: faces.height, backdrop: backdrop) { frame, canvas in
            guard faces.confidence[frame] > 0 else { return }
            let box = faces.boxes[(frame * 4)..<(frame * 4 + 4)].map(Double.init)
            let corners = [Point(box[0], box[1]), Point(box[0] + box[2], box[1]), Point(box[0] + box[2], box[1] + box[3]), Point(box[0], box[1] + box[3])]
            canvas.stroke(Path(points: corners, closed: true), Color(1, 0.85, 0.1), width: line)
            for landmark in 0..<faces.landmarkCount {
                let base = (frame * faces.landmarkCount + landmark) * 3
                let point = Point(Double(faces.landmarks[base]), Double(faces.landmarks[base + 1]))
                canvas.fill(.circle(center: point, radius: min(line, max(box[2] / 80, 0.5))), Color(0.3, 1, 0.5))
            }
        }
        return Inspection(
            facts: timeFacts(faces.timeline) + [
                Fact("landmarks", "\(faces.landmarkCount), set '\(faces.landmarkSet)'"),
                Fact("found", "\(faces.confidence.count { $0 >= 0.5 }) of \(faces.count) frames"),
                Fact("box width", range((0..<faces.count).map { faces.boxes[$0 * 4 + 2] }, unit: "pixels")),
            ],
            preview: sheet)
    }

    /// A contact sheet of the frames a track was measured in (or of black ones) with something drawn on each.
    private static func overlay(
        _ timeline: Timeline, width: Int, height: Int, backdrop: BackdropSearch, _ body: (Int, Canvas) throws -> Void
    ) throws -> Canvas {
        guard (1...16_384).contains(width), (1...16_384).contains(height) else {
            throw NodeError("a track measured in a picture of \(width) × \(height) pixels")
        }
        let behind = backdrop(width, height)
        return try ContactSheet(count: timeline.count, width: width, height: height).draw(times: timeline) { frame in
            let canvas = try Canvas(width: width, height: height, background: .black)
            if let picture = try behind?.canvas(frame) {
                canvas.draw(picture, in: Rect(x: 0, y: 0, width: Double(width), height: Double(height)), alpha: 0.75)
            }
            try body(frame, canvas)
            return canvas
        }
    }

    /// Canvases below each other.
    static func stack(_ canvases: [Canvas]) throws -> Canvas {
        let width = canvases.map(\.width).max() ?? 1
        let result = try Canvas(width: width, height: canvases.reduce(0) { $0 + $1.height }, background: .white)
        var y = 0
        for canvas in canvases {
            result.draw(canvas, in: Rect(x: 0, y: Double(y), width: Double(canvas.width), height: Double(canvas.height)), filter: .nearest)
            y += canvas.height
        }
        return result
    }
}
