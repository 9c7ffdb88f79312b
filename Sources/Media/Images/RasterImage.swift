/// Pixels in memory, interleaved, rows from the top: `[height, width, channels]` of 8 bits.
public struct RasterImage: Sendable, Equatable {
    public let width: Int
    public let height: Int
    /// 1 grey, 3 RGB, 4 RGB with straight alpha.
    public let channels: Int
    /// `height · width · channels` bytes, sRGB.
    public var pixels: [UInt8]

    /// Precondition: `pixels` holds exactly `height · width · channels` bytes.
    public init(width: Int, height: Int, channels: Int = 3, pixels: [UInt8]) {
        precondition(
            pixels.count == width * height * channels, "The pixel count must equal height · width · channels.")
        self.width = width
        self.height = height
        self.channels = channels
        self.pixels = pixels
    }
}
