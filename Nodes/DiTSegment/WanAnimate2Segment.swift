import Models
import NodeKit
import Tensors

/// One segment of Wan-Animate-2, as its published pipeline makes it: a pass over the driving clip leaves keys and values behind, and the film
/// is denoised beside them.
///
/// Latent frame 0 of the film is the reference picture; channels are as in Wan-Animate.
struct WanAnimate2Segment {
    let segment: WanSegment
    let network: WanAnimate2Transformer

    private var node: DiTSegment { segment.node }
    private var c: WanConfiguration { network.configuration }

    func generate() throws {
        guard let driving = node.drivingVideo, let text = node.text else {
            throw NodeError("a WanAnimate2Transformer3DModel needs 'drivingVideo' and 'text': see Graphs/wan-animate-2.yaml")
        }
        guard node.stepCache == 0 else { throw NodeError("a WanAnimate2Transformer3DModel has no step cache: remove 'stepCache'") }
        let shape = try segment.shape(frames: driving.count, width: driving.width, height: driving.height, c)
        guard c.inChannels == 2 * c.outChannels + 4, shape.frames > 1 else {
            throw NodeError("the network takes \(c.inChannels) channels, \(2 * c.outChannels + 4) expected, of segments of 5 frames and more")
        }
        func conditioning(_ name: String, _ image: TensorBundle?, _ port: String) throws -> WanConditioning {
            let tokens = try segment.tokens(text, name, c.textDim)
            guard tokens.shape[0] <= c.textLength else { throw NodeError("'\(name)' has \(tokens.shape[0]) tokens, the network takes \(c.textLength)") }
            let picture = try c.imageDim.map { width in
                guard let image else { throw NodeError("the network sees pictures by CLIP too: wire '\(port)', as image.encode makes it") }
                return try segment.tokens(image, "image_embeds", width)
            }
            return try network.conditioning(text: tokens, image: picture)
        }
        let reference = try segment.referenceLatent(shape)
        let (firstFrame, known) = try segment.knownFrames(shape)
        let isFirst = node.initial == nil
        let mask = segment.maskChannels(shape) { !isFirst && $0 < segment.overlap }
        let condition = Tensor.concatenated(
            [
                Tensor.concatenated([Tensor(repeating: 1, [4, 1, shape.h, shape.w]), reference], 0),
                Tensor.concatenated([mask, known], 0),
            ], 1)

        // The driving clip is known throughout.
        let clip = try segment.encode(shape) { driving.tensor($0) }
        let whole = Tensor.concatenated([clip, Tensor(repeating: 1, [4, shape.latents, shape.h, shape.w]), clip], 0)
        let left = try network.reference(whole, conditioning("prompt_ref_embeds", node.drivingImage, "drivingImage")).reference
        try segment.context.checkCancelled()

        let positive = try conditioning("prompt_embeds", node.image, "image")
        let negative = node.guidancePrompt > 1 ? try conditioning("negative_prompt_embeds", node.image, "image") : nil
        let scale = Float(node.guidancePrompt)
        let sample = try segment.sample(shape, extra: 1, firstFrame: firstFrame, isResumable: true) { sample, timestep in
            let x = Tensor.concatenated([sample, condition], 0)
            let asked = try network(x, timestep: timestep, positive, left)
            guard let negative else { return asked }
            let other = try network(x, timestep: timestep, negative, left, isUnconditional: true)
            return other + (asked - other) * scale
        }
        try segment.finish(sample.sliced(1, 1..<(shape.latents + 1)), shape, firstFrame: firstFrame)
    }
}
