import Models
import NodeKit
import Tensors

/// A film of `WanTransformer3DModel`, of a prompt alone or of its first (and last) picture too, as the published pipelines make it.
///
/// How a picture comes in depends on the network: Wan 2.1 and 2.2 take mask and known latent as further channels; Wan 2.2 TI2V has the
/// first latent frame given clean at timestep 0. Wan 2.2 A14B has two networks: `transformer` for high noise, `transformer_2` for low.
struct WanVideoSegment {
    let segment: WanSegment
    /// The share of the noise levels below which the network for low noise goes on; nil: there is one network.
    private let boundary: Double?
    /// Whether a picture comes in as the first latent frame, clean at timestep 0.
    private let expandsTimesteps: Bool

    private var node: DiTSegment { segment.node }
    private typealias Shape = WanSegment.Shape

    init(node: DiTSegment, _ context: NodeContext) throws {
        segment = try WanSegment(node: node, context)
        let pipeline = try node.model.isPipeline ? PipelineConfiguration(folder: node.model.path) : nil
        boundary = node.boundary ?? pipeline?.boundaryRatio
        // Of single files only the 2.2 autoencoder tells it: it belongs to TI2V.
        expandsTimesteps = pipeline?.expandsTimesteps ?? (segment.vae.spatialStride == 16)
        let isAlone = node.lowNoiseModel == nil && !node.model.hasPart("transformer_2")
        if let boundary = node.boundary, isAlone {
            throw NodeError("boundary: \(boundary) divides the noise levels between two networks: wire 'lowNoiseModel', see Graphs/wan/files/low-noise.yaml")
        }
        let lowNoise = [
            ("guidance.lowNoise", node.guidanceLowNoise != nil), ("lowNoiseLora", node.lowNoiseLora != nil), ("lowNoiseLoraWeights", !node.lowNoiseLoraWeights.isEmpty),
        ]
        if isAlone, let wrong = lowNoise.first(where: \.1) { throw NodeError("'\(wrong.0)' is for models of two networks, and this one has one: remove it") }
        guard node.lowNoiseModel == nil || boundary != nil else {
            throw NodeError("'lowNoiseModel' needs to know where it takes over: set boundary, as published 0.875 for a film of a prompt, 0.9 for one of a picture")
        }
    }

    /// A network and what it is told, through its part of the noise levels.
    private struct Stage {
        let isLowNoise: Bool
        let branches: WanBranches
    }

    /// What is known of the film.
    private enum Known {
        case nothing
        /// Mask and latent of what is known, `[4 + z, T, h, w]`.
        case channels(Tensor)
        /// The latent's first frame, `[z, 1, h, w]`.
        case firstLatent(Tensor)
    }

    func generate() throws {
        guard let text = node.text else {
            throw NodeError("a WanTransformer3DModel needs 'text', as text.encode makes it: see Graphs/wan-video.yaml")
        }
        guard node.initial == nil, node.handover != .latent else {
            throw NodeError("a WanTransformer3DModel makes its film in one piece: remove 'initial' and 'handover'")
        }
        var stage: Stage? = try makeStage(isLowNoise: false, text)
        guard let c = stage?.branches.network.configuration else { return }
        let shape = try shape(c)
        let known = try known(shape, c)
        let boundary = boundary.map { Float($0 * Double(segment.sampling.trainingSteps)) }
        let plane = shape.h / c.patchSize[1] * (shape.w / c.patchSize[2])
        var sample = try segment.sample(shape, extra: 0, firstFrame: 0, isResumable: node.stepCache == 0) { sample, timestep in
            let isLowNoise = boundary.map { timestep < $0 } ?? false
            if stage?.isLowNoise != isLowNoise {
                // One network at a time is in memory.
                stage?.branches.log(to: segment.context)
                stage = nil
                stage = try makeStage(isLowNoise: isLowNoise, text)
            }
            guard let branches = stage?.branches else { return sample }
            switch known {
            case .nothing: return try branches(sample, timesteps: [timestep])
            case .channels(let condition): return try branches(Tensor.concatenated([sample, condition], 0), timesteps: [timestep])
            case .firstLatent(let first):
                let times = [Float](repeating: 0, count: plane) + [Float](repeating: timestep, count: (shape.latents - 1) * plane)
                return try branches(pinned(first, sample), timesteps: times)
            }
        }
        stage?.branches.log(to: segment.context)
        if case .firstLatent(let first) = known { sample = pinned(first, sample) }
        try segment.finish(sample, shape, firstFrame: 0)
    }

    private func pinned(_ first: Tensor, _ sample: Tensor) -> Tensor {
        sample.shape[1] == 1 ? first : Tensor.concatenated([first, sample.sliced(1, 1..<sample.shape[1])], 1)
    }

    private func makeStage(isLowNoise: Bool, _ text: TensorBundle) throws -> Stage {
        let weights = try node.weights(isLowNoise ? "transformer_2" : "transformer", isLowNoise ? node.lowNoiseLora : node.lora)
        guard try weights.className() == "WanTransformer3DModel" else {
            throw NodeError("'\(weights.path)' is a \(try weights.className()), WanTransformer3DModel expected")
        }
        let network = try WanTransformer(weights)
        network.notes.forEach(segment.context.log)
        let c = network.configuration
        let picture = try imageTokens(c)
        // The network tells image from text tokens by a fixed number of the latter.
        func conditioning(_ name: String) throws -> WanConditioning {
            try network.conditioning(text: segment.tokens(text, name, c.textDim, count: picture == nil ? nil : 512), image: picture)
        }
        let scale = isLowNoise ? node.guidanceLowNoise ?? node.guidancePrompt : node.guidancePrompt
        let branches = WanBranches(
            network, positive: try conditioning("prompt_embeds"), negative: scale > 1 ? try conditioning("negative_prompt_embeds") : nil,
            scale: scale, stepCache: node.stepCache)
        return Stage(isLowNoise: isLowNoise, branches: branches)
    }

    /// CLIP's tokens of the first picture, or of first and last one after another, where the network takes such.
    private func imageTokens(_ c: WanConfiguration) throws -> Tensor? {
        guard let width = c.imageDim, node.firstPicture != nil else { return nil }
        guard let image = node.image else { throw NodeError("the network sees the picture by CLIP too: wire 'image', as image.encode makes it") }
        let tokens = try segment.tokens(image, "image_embeds", width)
        if let positions = c.imagePositions, positions != tokens.shape[0] {
            throw NodeError("'image_embeds' has \(tokens.shape[0]) tokens, the network takes \(positions): it is made for a film between two pictures; wire 'last' of image.encode and 'lastPicture' here")
        }
        return tokens
    }

    private func shape(_ c: WanConfiguration) throws -> Shape {
        guard let size = node.firstPicture.map({ PixelSize($0.width, $0.height) }) ?? node.size else {
            throw NodeError("the film's size is not known: set 'size', or wire 'firstPicture'")
        }
        if let wanted = node.size, wanted != size {
            throw NodeError("'firstPicture' is \(size.width)×\(size.height), size: \(wanted.width)x\(wanted.height); bring it there by image.fit")
        }
        let frames = node.frames ?? 81, below = max(1, (frames - 1) / 4 * 4 + 1)
        return try segment.shape(
            frames: frames, width: size.width, height: size.height, c, framesAdvice: "set frames: \(below) or \(below + 4)",
            sizeAdvice: node.firstPicture == nil ? "set 'size' so" : "image.fit brings pictures to such a size")
    }

    private func known(_ shape: Shape, _ c: WanConfiguration) throws -> Known {
        let z = shape.channels
        guard let first = node.firstPicture else {
            guard c.inChannels == z, node.lastPicture == nil else {
                throw NodeError("the network takes \(c.inChannels) channels of a latent of \(z): it begins with a picture; wire 'firstPicture'")
            }
            return .nothing
        }
        func pixels(_ picture: Image) -> Tensor { PixelConversion.tensor([picture.pixels], width: picture.width, height: picture.height) }
        if expandsTimesteps {
            guard node.lastPicture == nil else {
                throw NodeError("this model makes films that begin with a picture, not such that end with one: remove 'lastPicture' (Graphs/wan/last.yaml)")
            }
            guard c.inChannels == z else { throw NodeError("the network takes \(c.inChannels) channels, \(z) expected in a pipeline of expand_timesteps") }
            return .firstLatent(try segment.encode(shape, count: 1) { _ in pixels(first) })
        }
        guard c.inChannels == 2 * z + 4 else {
            throw NodeError("the network takes \(c.inChannels) channels of a latent of \(z): it makes films of a prompt alone; remove 'firstPicture'")
        }
        let last = node.lastPicture
        if let last, last.width != first.width || last.height != first.height || shape.frames == 1 {
            throw NodeError("'lastPicture' is \(last.width)×\(last.height), 'firstPicture' \(first.width)×\(first.height); bring both to one size by image.fit, for a film of 5 frames and more")
        }
        let end = shape.frames - 1
        let nothing = segment.nothing(shape)
        let latent = try segment.encode(shape) { index in
            if index == 0 { return pixels(first) }
            return index == end ? last.map(pixels) ?? nothing : nothing
        }
        let mask = segment.maskChannels(shape) { $0 == 0 || ($0 == end && last != nil) }
        return .channels(Tensor.concatenated([mask, latent], 0))
    }
}
