public import NodeKit
public import Perception

extension JointTrack {
    /// The arrays of a pose value.
    public init(_ pose: PoseTrack) throws {
        try self.init(
            keypoints: pose.keypoints, positions: pose.positions, confidence: pose.confidence, filled: pose.filled,
            times: (0..<pose.count).map(pose.timeline.seconds), width: pose.width, height: pose.height)
    }
}

extension PoseTrack {
    /// The value of joints that were computed on frames of `timeline`.
    ///
    /// - Precondition: The timeline has the track's number of frames.
    public init(_ track: JointTrack, timeline: Timeline) {
        self.init(
            timeline: timeline, width: track.width, height: track.height, keypoints: track.keypoints,
            positions: track.positions, confidence: track.confidence, filled: track.filled)
    }
}

extension HeadTrack {
    /// The value of a head motion on frames of `timeline`.
    ///
    /// - Precondition: The timeline has the motion's number of frames.
    public init(_ motion: HeadMotion, timeline: Timeline, width: Int, height: Int) {
        self.init(
            timeline: timeline, width: width, height: height, rotation: motion.rotations.flatMap { $0.map(Float.init) },
            center: motion.centers.flatMap { [Float($0.x), Float($0.y)] }, radius: motion.radii.map(Float.init),
            confidence: motion.confidence.map(Float.init))
    }
}

/// Checks that two tracks of one clip have the same frames.
///
/// - Throws: ``NodeError`` with both counts.
public func requireSameFrames(_ a: Timeline, _ aName: String, _ b: Timeline, _ bName: String) throws {
    guard a.count == b.count else {
        throw NodeError(
            "'\(aName)' has \(a.count) frames and '\(bName)' has \(b.count): wire both from the same clip")
    }
}
