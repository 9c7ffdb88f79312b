import Models
import NodeKit

/// Brings a picture to the canvas, as the published Wan pipelines do.
public struct ImageFit: Node {
    public static let type: NodeType = "image.fit"
    public static let version = 2
    public static let summary = "Brings a picture to a canvas: fitted inside it on black, or stretched to it."

    @Input("The picture.") var image: Image
    @Input("A clip whose size is taken.") var like: Video?
    @Input("A picture whose size is taken.") var likeImage: Image?
    @Parameter("Size of the canvas; not set: that of 'like' or 'likeImage', else the picture's own shape at 'area'.") var size: PixelSize? = nil
    @Parameter("Without size, 'like' and 'likeImage': the area, as the size of one shape.") var area: PixelSize? = nil
    @Parameter("With area: the sides of picture and canvas count as multiples of this, rounded down.", in: 1...1024) var align = 16
    @Parameter("Where the shapes differ: pad with black, or stretch.") var fit = Fitting.pad
    @Parameter("How the picture is resized.") var filter = Filter.lanczos
    @Parameter("With pad: the side of the larger part of an odd margin.") var oddMargin = Side.before
    @Output("The picture on its canvas.") var fitted: Image

    public init() {}

    public func run(in context: NodeContext) throws {
        let pixels = fit(image.pixels, width: image.width, height: image.height, canvas: try canvas(), filter, oddMargin)
        let (width, height) = try canvas()
        try $fitted.set(Image(width: width, height: height, pixels: pixels))
    }

    private func canvas() throws -> (width: Int, height: Int) {
        if let size { return (size.width, size.height) }
        if let like { return (like.width, like.height) }
        if let likeImage { return (likeImage.width, likeImage.height) }
        guard let area else { throw NodeError("set 'size' or 'area', or wire 'like' or 'likeImage' to a clip or picture of the size wanted") }
        return WanFraming.canvas(ofArea: area.width * area.height, width: image.width, height: image.height, align: align)
    }
}
