import Safetensors

/// Body and hand joints over time, skeleton `holistic75`: joints 0–32 are MediaPipe Pose's, 33–53 the left hand's 21,
/// 54–74 the right hand's.
public struct PoseTrack: WritableValue, TimeSliceable {
    public static let portType = PortType.pose
    public static let jointCount = 75

    public var timeline: Timeline
    /// Size of the picture that the key points were measured in, in pixels.
    public var width: Int
    public var height: Int
    /// `[frames, 75, 2]`: x right, y down, in pixels.
    public var keypoints: [Float]
    /// `[frames, 75, 3]`: x right, y down, z away from the camera, in metres, hip-centred.
    public var positions: [Float]
    /// `[frames, 75]` in 0…1; 0: not seen.
    public var confidence: [Float]
    /// `[frames, 75]`: 1 where a gap was filled rather than measured.
    public var filled: [UInt8]

    public init(
        timeline: Timeline, width: Int, height: Int, keypoints: [Float], positions: [Float], confidence: [Float],
        filled: [UInt8]? = nil
    ) {
        let count = timeline.count * Self.jointCount
        precondition(keypoints.count == count * 2, "keypoints are [frames, 75, 2]")
        precondition(positions.count == count * 3, "positions are [frames, 75, 3]")
        precondition(confidence.count == count, "confidence is [frames, 75]")
        self.timeline = timeline
        self.width = width
        self.height = height
        self.keypoints = keypoints
        self.positions = positions
        self.confidence = confidence
        self.filled = filled ?? [UInt8](repeating: 0, count: count)
    }

    public var count: Int { timeline.count }

    struct Metadata: Codable {
        var time: Timeline.Metadata
        var skeleton: String
        var width: Int
        var height: Int
        var units = ["keypoints": "pixels", "positions": "metres"]
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let metadata = try file.metadata(Metadata.self, of: Self.portType)
        guard metadata.skeleton == "holistic75" else {
            throw NodeError("\(artifact.path): skeleton '\(metadata.skeleton)', 'holistic75' expected")
        }
        let timeline = try Timeline(file: file, metadata: metadata.time)
        let (frames, joints) = (timeline.count, Self.jointCount)
        self.init(
            timeline: timeline, width: metadata.width, height: metadata.height,
            keypoints: try file.array("keypoints", shape: [frames, joints, 2]),
            positions: try file.array("positions", shape: [frames, joints, 3]),
            confidence: try file.array("confidence", shape: [frames, joints]),
            filled: try file.array("filled", shape: [frames, joints]))
    }

    public func write(to writer: ArtifactWriter) throws {
        let joints = Self.jointCount
        try timeline.write(to: writer)
        try writer.write("keypoints", keypoints, shape: [count, joints, 2])
        try writer.write("positions", positions, shape: [count, joints, 3])
        try writer.write("confidence", confidence, shape: [count, joints])
        try writer.write("filled", filled, shape: [count, joints])
        try writer.set(metadata: Metadata(time: timeline.metadata, skeleton: "holistic75", width: width, height: height))
    }

    public func write(frames: Range<Int>, to writer: ArtifactWriter) throws {
        let part = try timeline.slice(frames)
        try PoseTrack(
            timeline: part, width: width, height: height,
            keypoints: keypoints.rows(frames, of: Self.jointCount * 2),
            positions: positions.rows(frames, of: Self.jointCount * 3),
            confidence: confidence.rows(frames, of: Self.jointCount),
            filled: filled.rows(frames, of: Self.jointCount)
        ).write(to: writer)
    }
}

extension Array {
    /// The elements of a range of rows, each `width` elements long.
    func rows(_ range: Range<Int>, of width: Int) -> [Element] {
        Array(self[(range.lowerBound * width)..<(range.upperBound * width)])
    }
}
