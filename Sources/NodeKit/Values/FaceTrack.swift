import Safetensors

/// Face boxes and landmarks over time.
public struct FaceTrack: WritableValue, TimeSliceable {
    public static let portType = PortType.faces

    public var timeline: Timeline
    /// Size of the picture that they were measured in, in pixels.
    public var width: Int
    public var height: Int
    /// The name of the landmark set, for instance `mediapipe478`.
    public var landmarkSet: String
    /// Landmarks per face.
    public var landmarkCount: Int
    /// `[frames, 4]`: x, y, width, height in pixels.
    public var boxes: [Float]
    /// `[frames, landmarks, 3]` in pixels; z away from the camera, on the scale of x.
    public var landmarks: [Float]
    /// `[frames]` in 0…1; 0: no face found.
    public var confidence: [Float]

    public init(
        timeline: Timeline, width: Int, height: Int, landmarkSet: String, landmarkCount: Int, boxes: [Float],
        landmarks: [Float], confidence: [Float]
    ) {
        precondition(boxes.count == timeline.count * 4, "boxes are [frames, 4]")
        precondition(landmarks.count == timeline.count * landmarkCount * 3, "landmarks are [frames, landmarks, 3]")
        precondition(confidence.count == timeline.count, "confidence is [frames]")
        self.timeline = timeline
        self.width = width
        self.height = height
        self.landmarkSet = landmarkSet
        self.landmarkCount = landmarkCount
        self.boxes = boxes
        self.landmarks = landmarks
        self.confidence = confidence
    }

    public var count: Int { timeline.count }

    private struct Metadata: Codable {
        var time: Timeline.Metadata
        var landmarkSet: String
        var width: Int
        var height: Int
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let metadata = try file.metadata(Metadata.self, of: Self.portType)
        let timeline = try Timeline(file: file, metadata: metadata.time)
        let landmarks = try file.array("landmarks", of: Float.self, shape: [timeline.count, -1, 3])
        self.init(
            timeline: timeline, width: metadata.width, height: metadata.height, landmarkSet: metadata.landmarkSet,
            landmarkCount: try file.info("landmarks").shape[1],
            boxes: try file.array("boxes", shape: [timeline.count, 4]), landmarks: landmarks,
            confidence: try file.array("confidence", shape: [timeline.count]))
    }

    public func write(to writer: ArtifactWriter) throws {
        try timeline.write(to: writer)
        try writer.write("boxes", boxes, shape: [count, 4])
        try writer.write("landmarks", landmarks, shape: [count, landmarkCount, 3])
        try writer.write("confidence", confidence, shape: [count])
        try writer.set(metadata: Metadata(time: timeline.metadata, landmarkSet: landmarkSet, width: width, height: height))
    }

    public func write(frames: Range<Int>, to writer: ArtifactWriter) throws {
        let part = try timeline.slice(frames)
        try FaceTrack(
            timeline: part, width: width, height: height, landmarkSet: landmarkSet, landmarkCount: landmarkCount,
            boxes: boxes.rows(frames, of: 4), landmarks: landmarks.rows(frames, of: landmarkCount * 3),
            confidence: confidence.rows(frames, of: 1)
        ).write(to: writer)
    }
}
