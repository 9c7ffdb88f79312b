import Drawing

/// Draws `holistic75` skeletons as coloured line maps: the control image of the pose encoder.
///
/// The manner is the field's: OpenPose's colours, limbs as filled ellipses at 60 % of their colour, joints as discs at
/// full colour, hand edges by hue. Edges are anti-aliased, and what is farther from the camera is drawn first, so
/// that an arm in front of the body lies over it.
public struct SkeletonDrawing: Sendable {
    /// Half the width of a limb in pixels; nil takes ``automaticHalfWidth(width:height:)``.
    public var halfWidth: Double?
    /// Joints below this confidence, and limbs that end at one, are left out. 0…1.
    public var confidenceThreshold: Float
    /// Whether nose, eyes and ears are drawn. Off by default: the head sphere says where the head is, and the
    /// distances between eyes and ears would carry the driving person's face.
    public var drawsHead: Bool

    public init(halfWidth: Double? = nil, confidenceThreshold: Float = 0.5, drawsHead: Bool = false) {
        self.halfWidth = halfWidth
        self.confidenceThreshold = confidenceThreshold
        self.drawsHead = drawsHead
    }

    /// The usual half width of limbs: the shorter side / 200 − 1, at least 1 pixel.
    public static func automaticHalfWidth(width: Int, height: Int) -> Double {
        max((Double(min(width, height)) / 200).rounded(.down) - 1, 1)
    }

    /// One frame on black.
    ///
    /// - Parameters:
    ///   - keypoints: `[75, 2]` pixels of the canvas.
    ///   - depth: `[75]` distance away from the camera in any unit, or empty when unknown.
    ///   - confidence: `[75]` in 0…1.
    /// - Returns: RGB bytes `[height, width, 3]`.
    /// - Throws: `DrawingError` when the canvas has no valid size.
    public func map(keypoints: [Float], depth: [Float], confidence: [Float], width: Int, height: Int) throws -> [UInt8] {
        let canvas = try Canvas(width: width, height: height, background: .black)
        draw(keypoints: keypoints, depth: depth, confidence: confidence, on: canvas)
        return canvas.rgb()
    }

    /// Draws one frame over what `canvas` holds; parameters as for
    /// ``map(keypoints:depth:confidence:width:height:)``.
    public func draw(keypoints: [Float], depth: [Float], confidence: [Float], on canvas: Canvas) {
        let half = halfWidth ?? Self.automaticHalfWidth(width: canvas.width, height: canvas.height)
        let points = DrawnJoints(
            keypoints: keypoints, depth: depth, confidence: confidence, threshold: confidenceThreshold)
        var items: [Item] = []
        // A disc lies over every limb that meets in it: it takes the depth of the nearest of them.
        var discDepth = [Float](repeating: .infinity, count: Limb.pointCount)
        for limb in Limb.all where drawsHead || !limb.isHead {
            guard let a = points[limb.from], let b = points[limb.to] else { continue }
            let depth = (a.depth + b.depth) / 2
            discDepth[limb.from] = min(discDepth[limb.from], depth)
            discDepth[limb.to] = min(discDepth[limb.to], depth)
            let middle = a.point.lerp(to: b.point, 0.5)
            let offset = b.point - a.point
            let width = limb.isHand ? max(half / 2, 0.5) : half
            items.append(
                Item(depth: depth, layer: 0, color: limb.color,
                    shape: .limb(middle: middle, offset: offset, half: width, isHand: limb.isHand)))
        }
        for (index, depth) in discDepth.enumerated() where depth < .infinity {
            guard let joint = points[index] else { continue }
            let isHand = index >= Limb.handStart
            items.append(
                Item(depth: depth, layer: 1, color: isHand ? Limb.handJointColor : Limb.jointColors[index],
                    shape: .disc(center: joint.point, radius: isHand ? max(half / 2, 0.5) : half)))
        }
        let order = items.indices.sorted {
            let (a, b) = (items[$0], items[$1])
            return a.depth != b.depth ? a.depth > b.depth : (a.layer, $0) < (b.layer, $1)
        }
        for index in order { items[index].draw(on: canvas) }
    }

    private struct Item {
        enum Shape {
            case limb(middle: Point, offset: Point, half: Double, isHand: Bool)
            case disc(center: Point, radius: Double)
        }

        var depth: Float
        var layer: Int
        var color: Color
        var shape: Shape

        func draw(on canvas: Canvas) {
            switch shape {
            case .disc(let center, let radius):
                canvas.fill(.circle(center: center, radius: radius), color)
            case .limb(let middle, let offset, let half, true):
                canvas.line(
                    from: middle - offset * 0.5, to: middle + offset * 0.5, color, width: 2 * half)
            case .limb(let middle, let offset, let half, false):
                canvas.save()
                canvas.translate(x: middle.x, y: middle.y)
                let length = offset.length
                if length > 1e-6 {
                    // The ellipse's long axis along the limb, without trigonometry.
                    let (c, s) = (offset.x / length, offset.y / length)
                    canvas.transform(xx: c, yx: s, xy: -s, yy: c, x0: 0, y0: 0)
                }
                canvas.fill(
                    .ellipse(center: .zero, radiusX: max(length / 2, half), radiusY: half), color)
                canvas.restore()
            }
        }
    }
}

/// The points that lines run between: the body's 20 of the OpenPose layout with a neck and toes, then the hands.
private struct DrawnJoints {
    struct Joint {
        var point: Point
        var depth: Float
    }

    private var joints: [Joint?]

    subscript(index: Int) -> Joint? { joints[index] }

    init(keypoints: [Float], depth: [Float], confidence: [Float], threshold: Float) {
        let count = Skeleton.jointCount
        let measured = (0..<count).map { j -> Joint? in
            guard keypoints.count >= 2 * count, confidence.count >= count, confidence[j] >= threshold else { return nil }
            let (x, y) = (Double(keypoints[2 * j]), Double(keypoints[2 * j + 1]))
            // Cairo's coordinates are 24.8 fixed point; what is this far outside is no measurement.
            guard x.isFinite, y.isFinite, abs(x) < 1e5, abs(y) < 1e5 else { return nil }
            let z = depth.count >= count && depth[j].isFinite ? depth[j] : 0
            return Joint(point: Point(x, y), depth: z)
        }
        var joints = Limb.bodySources.map { measured[$0] }
        if let left = measured[Skeleton.Joint.leftShoulder], let right = measured[Skeleton.Joint.rightShoulder] {
            joints[Limb.neck] = Joint(point: left.point.lerp(to: right.point, 0.5), depth: (left.depth + right.depth) / 2)
        } else {
            joints[Limb.neck] = nil
        }
        self.joints = joints + measured[Skeleton.leftHand...]
    }
}

/// A drawn line between two of the drawn points.
private struct Limb: Sendable {
    var from: Int
    var to: Int
    var color: Color
    var isHand = false
    var isHead = false

    static let neck = 1
    static let handStart = 20
    static let pointCount = 62
    static let handJointColor = Color(rgb: 0, 0, 255)

    /// `holistic75` joint of each OpenPose point: nose, neck (made from the shoulders), right arm, left arm, right
    /// leg, left leg, right eye, left eye, right ear, left ear, left toe, right toe.
    static let bodySources = [0, 11, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7, 31, 32]

    private static let openPose: [(Int, Int, Int)] = [
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
        (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
        (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
    ]

    static let jointColors: [Color] = (openPose + [(200, 200, 0), (100, 100, 0)]).map { Color(rgb: $0.0, $0.1, $0.2) }

    static let all: [Limb] = {
        let edges = [
            (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
            (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (13, 18), (10, 19),
        ]
        let colors = openPose + [(200, 200, 0)]
        let body = zip(edges, colors).enumerated().map { index, limb in
            Limb(
                from: limb.0.0, to: limb.0.1,
                color: Color(rgb: limb.1.0 * 6 / 10, limb.1.1 * 6 / 10, limb.1.2 * 6 / 10),
                isHead: (12...16).contains(index))
        }
        let hands = [0, Skeleton.handCount].flatMap { hand in
            Skeleton.handEdges.enumerated().map { index, edge in
                Limb(
                    from: handStart + hand + edge.0, to: handStart + hand + edge.1,
                    color: .hsv(Double(index) / 20, 1, 1), isHand: true)
            }
        }
        return body + hands
    }()
}
