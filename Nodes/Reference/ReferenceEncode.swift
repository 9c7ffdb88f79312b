import Models
import NodeKit
import Tensors

/// Encodes reference pictures into the latents that the DiT attends to.
public struct ReferenceEncode: Node {
    public static let type: NodeType = "reference.encode"
    public static let version = 4
    public static let summary = "Encodes the reference picture, and pseudo-references if there are any, into latents."
    public static let cost = NodeCost(threads: .all, memory: 512 << 20)

    @Input("The person's picture; as large as the film is to be.") var image: Image
    @Input("More pictures of the same person.") var images: [Image]?
    @Input("Pseudo-references: frames chosen by reference.select.") var frames: Video?
    @Input("The autoencoder: AutoencoderKLWan or BlockVAE.") var model: ModelFolder
    @Parameter("AutoencoderKLWan: side of the tiles, in pixels, as in vae.encode; 0: whole pictures.", in: 0...8192) var tile = 0
    @Output("One latent per picture, the person's own first.") var latents: Reference

    public init() {}

    public func run(in context: NodeContext) throws {
        let vae = try VideoAutoencoder(WeightStore(path: model.part("vae")), only: .encoder)
        let stride = vae.spatialStride
        let tiling = try VAETiling.of(tile: tile, spatialStride: stride)
        let (width, height) = (image.width, image.height)
        guard width % stride == 0, height % stride == 0 else {
            throw NodeError(
                "the reference is \(width)×\(height): both sides must be multiples of \(stride); set 'size' or 'align' where it is loaded"
            )
        }
        var pictures = [("reference", image.pixels)]
        for (index, extra) in (images ?? []).enumerated() {
            guard extra.width == width, extra.height == height else {
                throw NodeError(
                    "picture \(index) of 'images' is \(extra.width)×\(extra.height), the reference \(width)×\(height); load all at one size"
                )
            }
            pictures.append(("picture \(index + 1)", extra.pixels))
        }
        if let frames {
            guard frames.width == width, frames.height == height else {
                throw NodeError(
                    "frames of \(frames.width)×\(frames.height), but the reference is \(width)×\(height); decode and load at one size"
                )
            }
            pictures += (0..<frames.count).map { ("pseudo-reference \($0 + 1)", frames.frame($0)) }
        }
        var values: [Float] = []
        for (index, picture) in pictures.enumerated() {
            try context.checkCancelled()
            let input = PixelConversion.tensor([picture.1], width: width, height: height)
            values += try Parallel.$threads.withValue(context.threads) { try vae.encode(count: 1, tiling: tiling) { _ in input } }.array
            context.progress(index + 1, of: pictures.count, "pictures")
        }
        try $latents.set(
            Reference(
                latents: values, channels: vae.latentChannels, height: height / stride, width: width / stride,
                names: pictures.map(\.0)))
    }
}
