import Models
import NodeKit

/// Brings the reference to the canvas, as the published Wan-Animate pipeline does.
public struct ImageFit: Node {
    public static let type: NodeType = "image.fit"
    public static let version = 1
    public static let summary = "Fits a picture inside a canvas (Lanczos), centred on black."

    @Input("The picture.") var image: Image
    @Input("A clip whose size is taken.") var like: Video?
    @Parameter("Size of the picture; not set: that of 'like'.") var size: PixelSize? = nil
    @Output("The picture on its canvas.") var fitted: Image

    public init() {}

    public func run(in context: NodeContext) throws {
        guard let (width, height) = size.map({ ($0.width, $0.height) }) ?? like.map({ ($0.width, $0.height) }) else {
            throw NodeError("set 'size', or wire 'like' to a clip of the size wanted")
        }
        let pixels = WanFraming.fitted(image.pixels, width: image.width, height: image.height, canvas: (width, height))
        try $fitted.set(Image(width: width, height: height, pixels: pixels))
    }
}
