import Safetensors

/// Implicit face motion: some tokens per video frame, from a face video or from speech.
public struct FaceMotion: WritableValue, TimeSliceable {
    public static let portType = PortType.faceMotion

    public let timeline: Timeline
    /// Tokens per frame and channels per token.
    public let tokenCount: Int
    public let channels: Int
    /// `[frames, tokens, channels]`.
    public let tokens: [Float]

    public init(timeline: Timeline, tokenCount: Int, channels: Int, tokens: [Float]) {
        precondition(tokens.count == timeline.count * tokenCount * channels, "tokens are [frames, tokens, channels]")
        self.timeline = timeline
        self.tokenCount = tokenCount
        self.channels = channels
        self.tokens = tokens
    }

    private struct Metadata: Codable { var time: Timeline.Metadata }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let timeline = try Timeline(file: file, metadata: try file.metadata(Metadata.self, of: Self.portType).time)
        let tokens = try file.array("tokens", of: Float.self, shape: [timeline.count, -1, -1])
        let shape = try file.info("tokens").shape
        self.init(timeline: timeline, tokenCount: shape[1], channels: shape[2], tokens: tokens)
    }

    public func write(to writer: ArtifactWriter) throws {
        try timeline.write(to: writer)
        try writer.write("tokens", tokens, shape: [timeline.count, tokenCount, channels])
        try writer.set(metadata: Metadata(time: timeline.metadata))
    }

    public func write(frames: Range<Int>, to writer: ArtifactWriter) throws {
        try FaceMotion(
            timeline: try timeline.slice(frames), tokenCount: tokenCount, channels: channels,
            tokens: tokens.rows(frames, of: tokenCount * channels)
        ).write(to: writer)
    }
}

/// Sound features on video frames: one row per frame, aligned by time stamp.
public struct AudioFeatures: WritableValue, TimeSliceable {
    public static let portType = PortType.audioFeatures

    public let timeline: Timeline
    /// What the channels are, for instance `log-mel 80×4`.
    public let kind: String
    public let channels: Int
    /// `[frames, channels]`.
    public let features: [Float]

    public init(timeline: Timeline, kind: String, channels: Int, features: [Float]) {
        precondition(features.count == timeline.count * channels, "features are [frames, channels]")
        self.timeline = timeline
        self.kind = kind
        self.channels = channels
        self.features = features
    }

    private struct Metadata: Codable {
        var time: Timeline.Metadata
        var kind: String
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let metadata = try file.metadata(Metadata.self, of: Self.portType)
        let timeline = try Timeline(file: file, metadata: metadata.time)
        let features = try file.array("features", of: Float.self, shape: [timeline.count, -1])
        self.init(timeline: timeline, kind: metadata.kind, channels: try file.info("features").shape[1], features: features)
    }

    public func write(to writer: ArtifactWriter) throws {
        try timeline.write(to: writer)
        try writer.write("features", features, shape: [timeline.count, channels])
        try writer.set(metadata: Metadata(time: timeline.metadata, kind: kind))
    }

    public func write(frames: Range<Int>, to writer: ArtifactWriter) throws {
        try AudioFeatures(
            timeline: try timeline.slice(frames), kind: kind, channels: channels,
            features: features.rows(frames, of: channels)
        ).write(to: writer)
    }
}
