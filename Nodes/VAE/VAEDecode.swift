import Models
import NodeKit
import Tensors

/// Decodes the latents of all segments as one causal stream (METHOD §2, long videos).
public struct VAEDecode: Node {
    public static let type: NodeType = "vae.decode"
    public static let version = 4
    public static let summary =
        "Decodes all segments as one causal stream, without a seam, at the driving clip's time stamps."
    public static let cost = NodeCost(threads: .all, memory: 1 << 30)

    /// The numbers that convolutions read.
    public enum Numbers: String, ParameterChoice {
        case f32, bf16

        var precision: Precision { self == .f32 ? .f32 : .bf16 }
    }

    @Input(
        "The segments in order. Handed over in latents, the first latent of each later one is the last of the one before, and is not decoded again; handed over in pixels, each is decoded by itself and the frames that it shares are dropped."
    )
    var latents: [Latent]
    @Input("The driving clip: its time stamps become the film's, and the film is cut to its length; not wired: all frames, at 'fps'.")
    var driving: Video?
    @Input("The autoencoder: AutoencoderKLWan or BlockVAE.") var model: ModelFolder
    @Parameter("AutoencoderKLWan: side of the tiles, in pixels, that frames are cut into, overlapping by a quarter: less memory, up to three quarters more work; 0: whole frames.", in: 0...8192)
    var tile = 0
    @Parameter("AutoencoderKLWan: f32, or bf16 in two thirds of the memory, which rounds the weights and what each convolution reads.")
    var precision = Numbers.f32
    @Parameter("Without 'driving': frames per second of the film.") var fps = Rational(16)
    @Output("The film.") var video: Video

    public init() {}

    public func run(in context: NodeContext) throws {
        guard fps.numerator > 0 else { throw NodeError("fps: \(fps) is not above 0") }
        let timeline = driving?.timeline ?? Timeline(rate: fps, count: latents.last.map { $0.firstFrame + 4 * ($0.grid.frames - 1) + 1 } ?? 0)
        let vae = try VideoAutoencoder(WeightStore(path: model.part("vae"), precision: precision.precision), only: .decoder)
        let tiling = try VAETiling.of(tile: tile, spatialStride: vae.spatialStride)
        let first = try check(vae, frames: timeline.count)
        let (width, height) = (first.width * vae.spatialStride, first.height * vae.spatialStride)
        try $video.write(width: width, height: height, expecting: timeline) { film in
            for stream in streams() where film.count < timeline.count {
                let before = film.count
                // Frames that were in the stream before already.
                var known = before - (stream.firstFrame - latents[0].firstFrame)
                let count = min(stream.frames.count, 1 + (timeline.count - before + known + 2) / 4)
                let end = min(timeline.count, before - known + 1 + 4 * (count - 1))
                try Parallel.$threads.withValue(context.threads) {
                    try vae.decode(
                        count: count, tiling: tiling, scratch: context.scratch,
                        progress: { done, total in
                            try context.checkCancelled()
                            context.progress(before + (end - before) * done / total, of: timeline.count)
                        },
                        latent: { index in
                            let (segment, frame) = stream.frames[index]
                            let grid = try latents[segment].grid.slice(frame..<(frame + 1))
                            return Tensor(grid.values, grid.shape)
                        },
                        frames: { pixels in
                            for k in 0..<pixels.shape[1] where film.count < timeline.count {
                                known -= 1
                                if known >= 0 { continue }
                                try film.append(PixelConversion.bytes(pixels, frame: k), at: timeline.timestamps[film.count])
                            }
                        })
                }
            }
            return timeline.end
        }
    }

    /// Latent frames that are decoded one after another, the decoder remembering those before.
    private struct Stream {
        let firstFrame: Int
        var frames: [(segment: Int, index: Int)]
    }

    private func streams() -> [Stream] {
        var streams: [Stream] = []
        for (segment, latent) in latents.enumerated() {
            let isNew = segment == 0 || latent.isSeparate
            if isNew { streams.append(Stream(firstFrame: latent.firstFrame, frames: [])) }
            streams[streams.count - 1].frames += ((isNew ? 0 : 1)..<latent.grid.frames).map { (segment, $0) }
        }
        return streams
    }

    /// Checks that the segments follow one another, fit the autoencoder and cover the clip.
    private func check(_ vae: VideoAutoencoder, frames: Int) throws -> LatentGrid {
        guard let first = latents.first?.grid else { throw NodeError("there is no segment to decode") }
        guard first.channels == vae.latentChannels else {
            throw NodeError(
                "latents of \(first.channels) channels, but the autoencoder '\(model.path)' has \(vae.latentChannels); use the one that the DiT was trained with"
            )
        }
        // The last frame so far: where the next segment begins, or before it where the two share more frames.
        var next = latents[0].firstFrame
        for (index, latent) in latents.enumerated() {
            let grid = latent.grid
            guard grid.channels == first.channels, grid.height == first.height, grid.width == first.width else {
                throw NodeError(
                    "segment \(index) is \(grid.shape), segment 0 is \(first.shape): channels, height and width must agree"
                )
            }
            let begins = latent.firstFrame
            guard begins == next || (latent.isSeparate && index > 0 && begins > latents[index - 1].firstFrame && begins <= next) else {
                throw NodeError(
                    "segment \(index) begins at frame \(begins), \(next) expected: each begins at the last frame of the one before"
                )
            }
            next = latent.firstFrame + 4 * (grid.frames - 1)
        }
        let covered = next - latents[0].firstFrame + 1
        guard covered >= frames else {
            throw NodeError(
                "the segments cover \(covered) frames, the driving clip has \(frames); plan segments over the same clip"
            )
        }
        return first
    }
}
