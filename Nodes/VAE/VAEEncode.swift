import Models
import NodeKit
import Safetensors
import Tensors

/// Encodes a clip or a picture into the latent space of the diffusion model.
public struct VAEEncode: Node {
    public static let type: NodeType = "vae.encode"
    public static let version = 4
    public static let summary = "Encodes a clip or a picture into standardised latents, chunk by chunk."
    public static let cost = NodeCost(threads: .all, memory: 1 << 30)

    @Input("The frames; their sides are multiples of the autoencoder's stride (8 or 16).", readsInOrder: true) var video: Video?
    @Input("A picture, instead of frames.") var image: Image?
    @Input("The autoencoder: AutoencoderKLWan or BlockVAE.") var model: ModelFolder
    @Parameter("AutoencoderKLWan: side of the tiles, in pixels, that frames are cut into, overlapping by a quarter: less memory, up to three quarters more work; 0: whole frames.", in: 0...8192)
    var tile = 0
    @Parameter("AutoencoderKLWan: f32, or bf16, which rounds the weights and what each convolution reads.")
    var precision = VAEDecode.Numbers.f32
    @Output("The latent; where the clip is not 1 + 4k frames long, its last frame is held.") var latent: Latent

    public init() {}

    public func run(in context: NodeContext) throws {
        var source = try FrameSource(video: video, image: image)
        let vae = try VideoAutoencoder(WeightStore(path: model.part("vae"), precision: precision.precision), only: .encoder)
        try source.check(stride: vae.spatialStride)
        let tiling = try VAETiling.of(tile: tile, spatialStride: vae.spatialStride)
        // Every tile reads all frames, which an input that is read in order gives once.
        if let tiling, source.count > 1, max(source.width, source.height) > tiling.size { try source.keep(in: context.scratch) }
        let count = 1 + (source.count + 2) / 4 * 4
        let latents = try Parallel.$threads.withValue(context.threads) {
            try vae.encode(count: count, tiling: tiling) { done, total in
                try context.checkCancelled()
                context.progress(source.count * done / total, of: source.count)
            } frames: { range in
                let chunk = try range.map { try source.frame(min($0, source.count - 1)) }
                return PixelConversion.tensor(chunk, width: source.width, height: source.height)
            }
        }
        let grid = LatentGrid(
            channels: latents.shape[0], frames: latents.shape[1], height: latents.shape[2], width: latents.shape[3], values: latents.array)
        try $latent.set(Latent(grid: grid, firstFrame: 0, frameCount: source.count))
    }
}

/// Frames of a clip, or one picture.
struct FrameSource {
    let count, width, height: Int
    private let video: Video?
    private let image: Image?
    /// The frames, once they were all read.
    private var kept: ScratchFile?

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

    /// Reads all frames, so that each may be asked for more than once.
    ///
    /// - Throws: When the disk is full.
    mutating func keep(in folder: String) throws {
        let file = try ScratchFile(folder: folder)
        for index in 0..<count { try frame(index).withUnsafeBytes { try file.append($0) } }
        kept = file
    }

    func frame(_ index: Int) throws -> [UInt8] {
        guard let kept else { return video?.frame(index) ?? image?.pixels ?? [] }
        let byteCount = width * height * 3
        return try [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, initialized in
            try kept.read(at: index * byteCount, into: UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[..<byteCount])))
            initialized = byteCount
        }
    }

    func check(stride: Int) throws {
        guard width % stride == 0, height % stride == 0 else {
            throw NodeError(
                "frames of \(width)×\(height) cannot be encoded: both sides must be multiples of \(stride); set 'size' or 'align' where they are decoded"
            )
        }
    }
}
