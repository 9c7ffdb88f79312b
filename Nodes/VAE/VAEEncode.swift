import Models
import NodeKit
import Tensors

/// Encodes a clip or a picture into the latent space of the diffusion model.
public struct VAEEncode: Node {
    public static let type: NodeType = "vae.encode"
    public static let version = 3
    public static let summary = "Encodes a clip or a picture into standardised latents, chunk by chunk."
    public static let cost = NodeCost(threads: .all, memory: 1 << 30)

    @Input("The frames; their sides are multiples of the autoencoder's stride (8 or 16).", readsInOrder: true) var video: Video?
    @Input("A picture, instead of frames.") var image: Image?
    @Input("The autoencoder: AutoencoderKLWan or BlockVAE.") var model: ModelFolder
    @Parameter("AutoencoderKLWan: side of the tiles, in pixels, that frames are cut into, overlapping by a quarter; less memory for pictures, not for clips; 0: whole frames.", in: 0...8192)
    var tile = 0
    @Parameter("AutoencoderKLWan: f32, or bf16, which rounds the weights and what each convolution reads.")
    var precision = VAEDecode.Numbers.f32
    @Output("The latent; where the clip is not 1 + 4k frames long, its last frame is held.") var latent: Latent

    public init() {}

    public func run(in context: NodeContext) throws {
        let source = try FrameSource(video: video, image: image)
        let vae = try VideoAutoencoder(WeightStore(path: model.part("vae"), precision: precision.precision), only: .encoder)
        try source.check(stride: vae.spatialStride)
        let tiling = try VAETiling.of(tile: tile, spatialStride: vae.spatialStride)
        var encoder = vae.encoder(tiling: tiling, isOneChunk: source.count == 1)
        var latents: [Tensor] = []
        var next = 0
        while next < source.count {
            try context.checkCancelled()
            let chunk = (next..<(next + encoder.chunkLength)).map { source.frame(min($0, source.count - 1)) }
            let frames = PixelConversion.tensor(chunk, width: source.width, height: source.height)
            next += chunk.count
            latents.append(Parallel.$threads.withValue(context.threads) { encoder.encode(frames) })
            context.progress(min(next, source.count), of: source.count)
        }
        let all = Tensor.concatenated(latents, 1)
        let grid = LatentGrid(
            channels: all.shape[0], frames: all.shape[1], height: all.shape[2], width: all.shape[3], values: all.array)
        try $latent.set(Latent(grid: grid, firstFrame: 0, frameCount: source.count))
    }
}

/// Frames of a clip, or one picture.
struct FrameSource {
    let count, width, height: Int
    private let video: Video?
    private let image: Image?

    init(video: Video?, image: Image?) throws {
        switch (video, image) {
        case (let video?, nil):
            guard video.count > 0 else { throw NodeError("the video has no frames") }
            (count, width, height) = (video.count, video.width, video.height)
        case (nil, let image?): (count, width, height) = (1, image.width, image.height)
        default: throw NodeError("wire either 'video' or 'image', not \(video == nil ? "neither" : "both")")
        }
        self.video = video
        self.image = image
    }

    func frame(_ index: Int) -> [UInt8] { video?.frame(index) ?? image?.pixels ?? [] }

    func check(stride: Int) throws {
        guard width % stride == 0, height % stride == 0 else {
            throw NodeError(
                "frames of \(width)×\(height) cannot be encoded: both sides must be multiples of \(stride); set 'size' or 'align' where they are decoded"
            )
        }
    }
}
