import Safetensors

/// A grid on the latent lattice of the causal 3D VAE: latent frame 0 codes video frame 0, latent frame t > 0 the four
/// frames 4t−3 … 4t (METHOD §2).
public struct LatentGrid: Sendable {
    public let channels: Int
    /// Latent frames.
    public let frames: Int
    public let height: Int
    public let width: Int
    /// `[channels, frames, height, width]`.
    public let values: [Float]

    public init(channels: Int, frames: Int, height: Int, width: Int, values: [Float]) {
        precondition(values.count == channels * frames * height * width, "values are [channels, frames, height, width]")
        self.channels = channels
        self.frames = frames
        self.height = height
        self.width = width
        self.values = values
    }

    public var shape: [Int] { [channels, frames, height, width] }

    /// Some latent frames, all channels.
    public func slice(_ range: Range<Int>) throws -> LatentGrid {
        guard range.lowerBound >= 0, range.upperBound <= frames, !range.isEmpty else {
            throw NodeError("latent frames \(range) of \(frames)")
        }
        let plane = height * width
        var cut: [Float] = []
        cut.reserveCapacity(channels * range.count * plane)
        for channel in 0..<channels {
            let base = channel * frames * plane
            cut += values[(base + range.lowerBound * plane)..<(base + range.upperBound * plane)]
        }
        return LatentGrid(channels: channels, frames: range.count, height: height, width: width, values: cut)
    }

    /// The latent frames of a range of video frames that begins at a latent frame's end. A range that ends between two (the
    /// last segment of a clip that is not 1 + 4k frames long) takes in the latent frame that codes its last frames.
    ///
    /// - Throws: ``NodeError`` unless the range begins at a frame 4a.
    static func latentRange(of frames: Range<Int>) throws -> Range<Int> {
        guard frames.lowerBound >= 0, frames.lowerBound % 4 == 0, !frames.isEmpty else {
            throw NodeError("frames \(frames) do not begin on the latent grid; segments are 1 + 4k frames, 4k apart")
        }
        return (frames.lowerBound / 4)..<((frames.upperBound + 2) / 4 + 1)
    }

    init(file: SafetensorsFile, tensor: String) throws {
        let values = try file.array(tensor, of: Float.self, shape: [-1, -1, -1, -1])
        let shape = try file.info(tensor).shape
        self.init(channels: shape[0], frames: shape[1], height: shape[2], width: shape[3], values: values)
    }
}

/// A stretch of video in the diffusion model's (standardised) latent space.
public struct Latent: WritableValue, TimeSliceable {
    public static let portType = PortType.latent
    public let grid: LatentGrid
    /// The video frame that the first latent frame ends with.
    public let firstFrame: Int
    /// Video frames that the film has in all; later ones are padding to be cut off after decoding. Nil: all count.
    public let frameCount: Int?
    /// Whether the first latent frame codes one video frame by itself although others come before it, so that decoding starts anew there:
    /// so it is in segments that were handed over in pixels.
    public let isSeparate: Bool

    public init(grid: LatentGrid, firstFrame: Int = 0, frameCount: Int? = nil, isSeparate: Bool = false) {
        self.grid = grid
        self.firstFrame = firstFrame
        self.frameCount = frameCount
        self.isSeparate = isSeparate
    }

    private struct Metadata: Codable {
        var firstFrame: Int
        var frameCount: Int?
        /// Left out where false.
        var isSeparate: Bool?
        var spatialStride = 8
        var temporalStride = 4
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let metadata = try file.metadata(Metadata.self, of: Self.portType)
        guard metadata.spatialStride > 0, metadata.temporalStride > 0, metadata.frameCount ?? 1 > 0 else {
            throw NodeError("\(artifact.path): spatialStride, temporalStride and frameCount of a latent must be above 0")
        }
        self.init(
            grid: try LatentGrid(file: file, tensor: "latent"), firstFrame: metadata.firstFrame, frameCount: metadata.frameCount,
            isSeparate: metadata.isSeparate ?? false)
    }

    public func write(to writer: ArtifactWriter) throws {
        try writer.write("latent", grid.values, shape: grid.shape)
        try writer.set(
            metadata: Metadata(firstFrame: firstFrame, frameCount: frameCount, isSeparate: isSeparate ? true : nil))
    }

    public func write(frames: Range<Int>, to writer: ArtifactWriter) throws {
        let cut = try grid.slice(LatentGrid.latentRange(of: frames))
        try Latent(
            grid: cut, firstFrame: firstFrame + frames.lowerBound, frameCount: frameCount,
            isSeparate: isSeparate && frames.lowerBound == 0
        ).write(to: writer)
    }
}

/// Pose encoder features on the latent grid.
public struct PoseFeatures: WritableValue, TimeSliceable {
    public static let portType = PortType.poseFeatures
    public let grid: LatentGrid

    public init(grid: LatentGrid) { self.grid = grid }

    private struct Metadata: Codable {
        var spatialStride = 8
        var temporalStride = 4
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        _ = try file.metadata(Metadata.self, of: Self.portType)
        self.init(grid: try LatentGrid(file: file, tensor: "features"))
    }

    public func write(to writer: ArtifactWriter) throws {
        try writer.write("features", grid.values, shape: grid.shape)
        try writer.set(metadata: Metadata())
    }

    public func write(frames: Range<Int>, to writer: ArtifactWriter) throws {
        try PoseFeatures(grid: try grid.slice(LatentGrid.latentRange(of: frames))).write(to: writer)
    }
}

/// Latents of the reference pictures: the person's own first, then pseudo-references.
public struct Reference: WritableValue {
    public static let portType = PortType.reference
    /// `[references, channels, height, width]`.
    public let latents: [Float]
    public let count: Int
    public let channels: Int
    public let height: Int
    public let width: Int
    /// What each one is, for instance `reference`, `largest yaw`.
    public let names: [String]

    public init(latents: [Float], channels: Int, height: Int, width: Int, names: [String]) {
        precondition(latents.count == names.count * channels * height * width, "latents are [references, channels, height, width]")
        self.latents = latents
        self.count = names.count
        self.channels = channels
        self.height = height
        self.width = width
        self.names = names
    }

    private struct Metadata: Codable { var names: [String] }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let names = try file.metadata(Metadata.self, of: Self.portType).names
        let latents = try file.array("latents", of: Float.self, shape: [names.count, -1, -1, -1])
        let shape = try file.info("latents").shape
        self.init(latents: latents, channels: shape[1], height: shape[2], width: shape[3], names: names)
    }

    public func write(to writer: ArtifactWriter) throws {
        try writer.write("latents", latents, shape: [count, channels, height, width])
        try writer.set(metadata: Metadata(names: names))
    }
}
