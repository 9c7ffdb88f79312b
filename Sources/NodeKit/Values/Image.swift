/// A still picture: `pixels` u8 `[height, width, 3]`, sRGB, full range.
public struct Image: WritableValue {
    public static let portType = PortType.image
    public let width: Int
    public let height: Int
    /// Interleaved RGB bytes, `[height, width, 3]`.
    public let pixels: [UInt8]

    /// - Precondition: `pixels` holds `height · width · 3` bytes.
    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(pixels.count == width * height * 3, "an image of \(width)×\(height) has \(width * height * 3) bytes")
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    private struct Metadata: Codable { var colorSpace = "sRGB" }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        _ = try file.metadata(Metadata.self, of: Self.portType)
        let info = try file.info("pixels")
        let pixels = try file.array("pixels", of: UInt8.self, shape: [-1, -1, 3])
        self.init(width: info.shape[1], height: info.shape[0], pixels: pixels)
    }

    public func write(to writer: ArtifactWriter) throws {
        try writer.write("pixels", pixels, shape: [height, width, 3])
        try writer.set(metadata: Metadata())
    }
}
