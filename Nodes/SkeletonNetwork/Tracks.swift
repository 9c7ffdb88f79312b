import Models
import NodeKit

/// Collects what the network reads, frame by frame, in the layout of pose, face and head tracks.
struct Tracks {
    /// For each joint of `holistic75`, which key point it is.
    private let joints: [Int?]
    /// Key points that are no joints: landmarks of the face.
    private let face: [Int]
    private let metresPerHead: Float
    private(set) var keypoints: [Float] = []
    private(set) var positions: [Float] = []
    private(set) var confidence: [Float] = []
    private(set) var boxes: [Float] = []
    private(set) var landmarks: [Float] = []
    private(set) var faceConfidence: [Float] = []
    private(set) var rotation: [Float] = []
    private(set) var center: [Float] = []
    private(set) var radius: [Float] = []
    private(set) var headConfidence: [Float] = []

    init(names: [String], metresPerHead: Float) {
        var joints = [Int?](repeating: nil, count: PoseTrack.jointCount)
        var face: [Int] = []
        for (index, name) in names.enumerated() {
            if let joint = HolisticNames.index[name] { joints[joint] = index } else { face.append(index) }
        }
        self.joints = joints
        self.face = face
        self.metresPerHead = metresPerHead
    }

    var knowsHips: Bool { joints[HolisticNames.leftHip] != nil && joints[HolisticNames.rightHip] != nil }
    var landmarkCount: Int { face.count }

    /// Adds one frame.
    mutating func append(_ reading: KeypointReading, _ fit: SquareFit) {
        let places = reading.points.map { fit.pixels(x: $0.x, y: $0.y) }
        let headRadius = reading.radius / fit.scale
        // Weak perspective: the head's known size gives pixels per metre.
        let metresPerPixel = headRadius > 0 ? metresPerHead / headRadius : 0
        let hips = [HolisticNames.leftHip, HolisticNames.rightHip].compactMap { joints[$0] }.map { places[$0] }
        let hip = (
            x: hips.map(\.x).reduce(0, +) / Float(max(hips.count, 1)),
            y: hips.map(\.y).reduce(0, +) / Float(max(hips.count, 1))
        )
        for joint in joints {
            guard let joint else {
                keypoints += [0, 0]
                positions += [0, 0, 0]
                confidence.append(0)
                continue
            }
            let place = places[joint]
            keypoints += [place.x, place.y]
            positions += [
                (place.x - hip.x) * metresPerPixel, (place.y - hip.y) * metresPerPixel, reading.points[joint].depth,
            ]
            confidence.append(reading.points[joint].confidence)
        }
        appendFace(reading, places)
        let place = fit.pixels(x: reading.center.x, y: reading.center.y)
        rotation += reading.rotation
        center += [place.x, place.y]
        radius.append(headRadius)
        let head = HolisticNames.head.compactMap { joints[$0] }.map { reading.points[$0].confidence }
        headConfidence.append(head.isEmpty ? 0 : head.reduce(0, +) / Float(head.count))
    }

    private mutating func appendFace(_ reading: KeypointReading, _ places: [(x: Float, y: Float)]) {
        let marks = face.map { places[$0] }
        landmarks += marks.flatMap { [$0.x, $0.y, 0] }
        guard let left = marks.map(\.x).min(), let right = marks.map(\.x).max(), let top = marks.map(\.y).min(),
            let bottom = marks.map(\.y).max()
        else {
            boxes += [0, 0, 0, 0]
            faceConfidence.append(0)
            return
        }
        boxes += [left, top, right - left, bottom - top]
        faceConfidence.append(face.map { reading.points[$0].confidence }.reduce(0, +) / Float(face.count))
    }
}
