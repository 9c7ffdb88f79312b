import Models
import NodeKit
import Tensors

/// One segment of Wan-Animate, as its published pipeline makes it.
///
/// Latent frame 0 of what the network sees is the reference; frames 1 … T are the segment's. Channels are the noisy latent (z), the mask
/// of known frames (4) and the latent of what is known (z).
struct WanAnimateSegment {
    let segment: WanSegment
    let network: WanTransformer

    private var node: DiTSegment { segment.node }
    private var c: WanConfiguration { network.configuration }
    private typealias Shape = WanSegment.Shape

    func generate() throws {
        network.notes.forEach(segment.context.log)
        guard let poseVideo = node.poseVideo, let faceVideo = node.faceVideo, let text = node.text else {
            throw NodeError("a WanAnimateTransformer3DModel needs 'poseVideo', 'faceVideo' and 'text': see Graphs/wan-animate.yaml")
        }
        let shape = try segment.shape(frames: poseVideo.count, width: poseVideo.width, height: poseVideo.height, c)
        guard c.inChannels == 2 * c.outChannels + 4, shape.frames > 1 else {
            throw NodeError("the network takes \(c.inChannels) channels, \(2 * c.outChannels + 4) expected, of segments of 5 frames and more")
        }
        try segment.check(faceVideo, "faceVideo", shape)
        let prompt = try segment.tokens(text, "prompt_embeds", c.textDim, count: 512)
        let picture = try c.imageDim.map { width in
            guard let image = node.image else { throw NodeError("the network sees the reference by CLIP too: wire 'image', as image.encode makes it") }
            return try segment.tokens(image, "image_embeds", width)
        }
        let reference = try segment.referenceLatent(shape)

        // What is known: the reference, then the frames that the segment begins with, on nothing or on the background.
        if let background = node.background { try segment.check(background, "background", shape, isCanvas: true) }
        let (firstFrame, known) = try segment.knownFrames(shape, background: node.background)
        let mask = try maskChannels(isFirst: node.initial == nil, shape)
        let ones = Tensor(repeating: 1, [4, 1, shape.h, shape.w])
        let condition = Tensor.concatenated(
            [Tensor.concatenated([ones, reference], 0), Tensor.concatenated([mask, known], 0)], 1)

        let pose = try segment.encode(shape) { poseVideo.tensor($0) }
        let face = try faces(faceVideo)
        let positive = try network.conditioning(text: prompt, image: picture, pose: pose, face: face)
        let negative =
            node.guidancePrompt > 1
            ? try network.conditioning(
                text: segment.tokens(text, "negative_prompt_embeds", c.textDim, count: 512), image: picture, pose: pose,
                face: Tensor(repeating: -1, face.shape)) : nil
        let branches = WanBranches(network, positive: positive, negative: negative, scale: node.guidancePrompt, stepCache: node.stepCache)
        let sample = try segment.sample(shape, extra: 1, firstFrame: firstFrame, isResumable: node.stepCache == 0) { sample, timestep in
            try branches(Tensor.concatenated([sample, condition], 0), timesteps: [timestep])
        }
        branches.log(to: segment.context)
        try segment.finish(sample.sliced(1, 1..<(shape.latents + 1)), shape, firstFrame: firstFrame)
    }

    /// The four mask channels, `[4, T, h, w]`: 1 where the picture is known.
    private func maskChannels(isFirst: Bool, _ shape: Shape) throws -> Tensor {
        guard (node.mask == nil) == (node.background == nil) else {
            throw NodeError("to replace a person, wire both 'background' and 'mask'; to animate, neither")
        }
        if let mask = node.mask { try segment.check(mask, "mask", shape, isCanvas: true) }
        let plane = shape.h * shape.w, overlap = segment.overlap
        let stride = shape.width / shape.w
        let pixels = Tensor([shape.frames, shape.h, shape.w]) { out in
            for frame in 0..<shape.frames {
                let grey = node.mask.map { WanFraming.grey($0.frame(frame)) }
                for y in 0..<shape.h {
                    for x in 0..<shape.w {
                        let isGiven = !isFirst && frame < overlap
                        let value = isGiven ? 1 : grey.map { 1 - $0[y * stride * shape.width + x * stride] } ?? 0
                        out.initializeElement(at: frame * plane + y * shape.w + x, to: value)
                    }
                }
            }
        }
        return WanFraming.packed(pixels)
    }

    /// Face crops at the network's size, `[3, F, s, s]` in −1 … 1.
    private func faces(_ video: Video) throws -> Tensor {
        let side = c.motionSize
        let crops = try (0..<video.count).map { index in
            try segment.context.checkCancelled()
            return WanFraming.stretched(video.frame(index), width: video.width, height: video.height, canvas: (side, side))
        }
        return PixelConversion.tensor(crops, width: side, height: side)
    }
}
