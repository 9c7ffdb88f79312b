import NodeKit
import Perception
import PerceptionValues

/// Finds where the head is and where it looks.
public struct HeadTracker: Node {
    public static let type: NodeType = "head.track"
    public static let version = 2
    public static let summary = "Fits a canonical 3D face to the landmarks: head rotation, centre and radius per frame."

    @Input("Face landmarks.") var faces: FaceTrack
    @Parameter("Faces below this confidence are not used.", in: 0...1) var confidence = 0.5
    @Parameter("The longest gap that is filled, in seconds; of a longer one the beginning is.", in: 0...10) var longestGap = 0.5
    @Parameter("Cutoff of the smoothing at rest, in hertz; 0 turns it off.", in: 0...30) var smoothing = 2.0
    @Parameter("How far ahead a frame looks, in seconds: what changes in a clip reaches back no further.", in: 0...10)
    var lookAhead = 0.2
    @Output("Head rotation, centre and radius per frame.") var head: HeadTrack

    public init() {}

    public func run(in context: NodeContext) throws {
        let set = try LandmarkSet.named(faces.landmarkSet)
        guard faces.landmarkCount == set.count else {
            throw NodeError(
                "the faces have \(faces.landmarkCount) landmarks; the set '\(set.name)' has \(set.count)")
        }
        let tracking = HeadTracking(
            set: set, confidenceThreshold: confidence, longestGap: longestGap, lookAhead: lookAhead,
            filter: smoothing > 0 ? OneEuroFilter(minimumCutoff: smoothing) : nil)
        let width = set.count * 3
        let motion = tracking.motion(
            landmarks: { Array(faces.landmarks[($0 * width)..<(($0 + 1) * width)]) }, confidence: faces.confidence,
            times: (0..<faces.count).map(faces.timeline.seconds))
        let found = motion.confidence.filter { $0 > 0 }.count
        context.log("head in \(found) of \(faces.count) frames")
        try $head.set(HeadTrack(motion, timeline: faces.timeline, width: faces.width, height: faces.height))
    }
}
