import Safetensors

/// Stretches of a clip that are generated one after another, each 1 + 4k frames, the last frame of one being the first
/// of the next (METHOD §2, «Long videos»).
public struct Segments: WritableValue {
    public static let portType = PortType.segments
    /// Frame ranges of the (padded) driving clip, in order.
    public let ranges: [Range<Int>]
    /// Frames of the clip; the last segment may reach beyond them.
    public let frameCount: Int

    public init(ranges: [Range<Int>], frameCount: Int) {
        self.ranges = ranges
        self.frameCount = frameCount
    }

    private struct Metadata: Codable { var frameCount: Int }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let frameCount = try file.metadata(Metadata.self, of: Self.portType).frameCount
        let bounds = try file.array("ranges", of: Int32.self, shape: [-1, 2])
        var ranges: [Range<Int>] = []
        for i in stride(from: 0, to: bounds.count, by: 2) {
            // The last one may reach beyond the clip, but not begin there.
            guard 0 <= bounds[i], bounds[i] < bounds[i + 1], bounds[i] < frameCount else {
                throw NodeError("\(artifact.path): segment \(i / 2) is \(bounds[i])..<\(bounds[i + 1]) of a clip of \(frameCount) frames")
            }
            ranges.append(Int(bounds[i])..<Int(bounds[i + 1]))
        }
        self.init(ranges: ranges, frameCount: frameCount)
    }

    public func write(to writer: ArtifactWriter) throws {
        let bounds = ranges.flatMap { [Int32($0.lowerBound), Int32($0.upperBound)] }
        try writer.write("ranges", bounds, shape: [ranges.count, 2])
        try writer.set(metadata: Metadata(frameCount: frameCount))
    }
}
