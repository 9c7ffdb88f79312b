import Media
import NodeKit

/// Reads a still picture.
public struct ImageLoad: Node {
    public static let type: NodeType = "image.load"
    public static let version = 2
    public static let summary = "Reads a PNG, JPEG or WebP picture as upright RGB; transparent parts become white. Reads bytes of a safetensors file too."

    @Input("A picture file.") var file: File
    @Parameter("Size of the picture; not set: its own.") var size: PixelSize? = nil
    @Parameter("Without size: round both sides to a multiple of this.", in: 1...1024) var align = 1
    @Parameter("What to do where the shapes differ: pad with black, crop, or stretch.") var fit = FitChoice.pad
    @Parameter("In a safetensors file: the tensor, bytes [height, width, 1 or 3]; not set: the only such one.") var tensor: String? = nil
    @Output("The picture.") var image: Image

    public init() {}

    public func run(in context: NodeContext) throws {
        if TensorPictures.isOne(file.path) {
            let picture = try TensorPictures(path: file.path, tensor: tensor, rank: 3)
            guard (size ?? PixelSize(picture.width, picture.height)) == PixelSize(picture.width, picture.height), align == 1 else {
                throw NodeError("a picture in a safetensors file keeps its size of \(picture.width)×\(picture.height): remove 'size' and 'align'")
            }
            try $image.set(Image(width: picture.width, height: picture.height, pixels: picture.picture(0)))
            return
        }
        let picture = try ImageReader.read(path: file.path, size: size?.frameSize, align: align, fit: fit.fit)
        try $image.set(Image(width: picture.width, height: picture.height, pixels: picture.pixels))
    }
}
