import Media
import NodeKit

/// Reads a still picture.
public struct ImageLoad: Node {
    public static let type: NodeType = "image.load"
    public static let version = 1
    public static let summary = "Reads a PNG, JPEG or WebP picture as upright RGB; transparent parts become white."

    @Input("A picture file.") var file: File
    @Parameter("Size of the picture; not set: its own.") var size: PixelSize? = nil
    @Parameter("Without size: round both sides to a multiple of this.", in: 1...1024) var align = 1
    @Parameter("What to do where the shapes differ: pad with black, crop, or stretch.") var fit = FitChoice.pad
    @Output("The picture.") var image: Image

    public init() {}

    public func run(in context: NodeContext) throws {
        let picture = try ImageReader.read(path: file.path, size: size?.frameSize, align: align, fit: fit.fit)
        try $image.set(Image(width: picture.width, height: picture.height, pixels: picture.pixels))
    }
}
