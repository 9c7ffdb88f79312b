import Safetensors

/// Head rotation, place and size over time, under a weak-perspective camera.
public struct HeadTrack: WritableValue, TimeSliceable {
    public static let portType = PortType.head

    public var timeline: Timeline
    /// Size of the picture, in pixels.
    public var width: Int
    public var height: Int
    /// `[frames, 3, 3]`, row-major: from head axes to camera axes (x right, y down, z away from the camera).
    public var rotation: [Float]
    /// `[frames, 2]`: centre of the head in pixels.
    public var center: [Float]
    /// `[frames]`: radius of the head in pixels.
    public var radius: [Float]
    /// `[frames]` in 0…1; 0: no head found.
    public var confidence: [Float]

    public init(
        timeline: Timeline, width: Int, height: Int, rotation: [Float], center: [Float], radius: [Float], confidence: [Float]
    ) {
        precondition(rotation.count == timeline.count * 9, "rotation is [frames, 3, 3]")
        precondition(center.count == timeline.count * 2, "center is [frames, 2]")
        precondition(radius.count == timeline.count && confidence.count == timeline.count, "radius and confidence are [frames]")
        self.timeline = timeline
        self.width = width
        self.height = height
        self.rotation = rotation
        self.center = center
        self.radius = radius
        self.confidence = confidence
    }

    public var count: Int { timeline.count }

    private struct Metadata: Codable {
        var time: Timeline.Metadata
        var width: Int
        var height: Int
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let metadata = try file.metadata(Metadata.self, of: Self.portType)
        let timeline = try Timeline(file: file, metadata: metadata.time)
        self.init(
            timeline: timeline, width: metadata.width, height: metadata.height,
            rotation: try file.array("rotation", shape: [timeline.count, 3, 3]),
            center: try file.array("center", shape: [timeline.count, 2]),
            radius: try file.array("radius", shape: [timeline.count]),
            confidence: try file.array("confidence", shape: [timeline.count]))
    }

    public func write(to writer: ArtifactWriter) throws {
        try timeline.write(to: writer)
        try writer.write("rotation", rotation, shape: [count, 3, 3])
        try writer.write("center", center, shape: [count, 2])
        try writer.write("radius", radius, shape: [count])
        try writer.write("confidence", confidence, shape: [count])
        try writer.set(metadata: Metadata(time: timeline.metadata, width: width, height: height))
    }

    public func write(frames: Range<Int>, to writer: ArtifactWriter) throws {
        let part = try timeline.slice(frames)
        try HeadTrack(
            timeline: part, width: width, height: height, rotation: rotation.rows(frames, of: 9),
            center: center.rows(frames, of: 2), radius: radius.rows(frames, of: 1),
            confidence: confidence.rows(frames, of: 1)
        ).write(to: writer)
    }
}
