public import Tensors

/// The Wan video transformers (`WanTransformer3DModel`, text- or image-conditioned; `WanAnimateTransformer3DModel`), as published.
///
/// C latent channels, T latent frames, h×w latent grid; tokens run over frames, rows, columns of patches.
public struct WanTransformer: Sendable {
    public let configuration: WanConfiguration
    let patchEmbedding: Patches
    let embedder: WanConditionEmbedder
    let blocks: [WanBlock]
    let headModulation: Tensor  // [2, dim]: shift, scale
    let head: Linear
    let animate: Animate?

    /// What pose and face need.
    struct Animate: Sendable {
        let posePatches: Patches
        let motion: WanMotionEncoder
        let face: WanFaceEncoder
        let adapters: [WanFaceAdapter]
    }

    /// A convolution whose stride is its kernel, as a linear layer over patches.
    struct Patches: Sendable {
        let size: [Int]
        let linear: Linear

        init(_ weights: WeightScope, _ channels: Int, _ c: WanConfiguration) {
            size = c.patchSize
            let weight = weights.tensor("weight", shape: [c.dim, channels] + c.patchSize)
            linear = Linear(weight: weight.reshaped(c.dim, -1), bias: weights.tensor("bias", shape: [c.dim]))
        }

        /// `[C, T, h, w]` → `[tokens, dim]`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            let (C, T, H, W) = (x.shape[0], x.shape[1] / size[0], x.shape[2] / size[1], x.shape[3] / size[2])
            let patches = x.reshaped(C, T, size[0], H, size[1], W, size[2]).permuted(1, 3, 5, 0, 2, 4, 6)
            return linear(patches.reshaped(T * H * W, -1))
        }
    }

    /// What stays the same through all steps of a segment: keys and values of text, image and face, and the pose's tokens.
    public struct Conditioning: Sendable {
        let contexts: [WanAttention.Context]
        let poseTokens: Tensor?
        let faces: [KeyValue]
    }

    /// Builds the network from a checkpoint.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore) throws {
        let c: WanConfiguration = try weights.configuration()
        try c.check(path: weights.path)
        configuration = c
        let root = weights.root
        patchEmbedding = Patches(root.scope("patch_embedding"), c.inChannels, c)
        embedder = WanConditionEmbedder(root.scope("condition_embedder"), c)
        blocks = (0..<c.layers).map { WanBlock(root.scope("blocks", $0), c) }
        headModulation = root.tensor("scale_shift_table", shape: [1, 2, c.dim]).squeezed(0)
        head = Linear(root.scope("proj_out"), c.dim, c.outChannels * c.patchSize.reduce(1, *))
        animate =
            c.isAnimate
            ? Animate(
                posePatches: Patches(root.scope("pose_patch_embedding"), c.latentChannels ?? 16, c),
                motion: WanMotionEncoder(root.scope("motion_encoder"), c),
                face: WanFaceEncoder(root.scope("face_encoder"), c),
                adapters: (0..<(c.layers / c.faceInterval)).map { WanFaceAdapter(root.scope("face_adapter", $0), c) })
            : nil
        weights.ignore { $0.hasSuffix("norm_added_q.weight") }
        try weights.finish()
    }

    /// Prepares what does not change from step to step.
    ///
    /// - Parameters:
    ///   - text: Text tokens `[n, textDim]`, padding included: it is attended to.
    ///   - image: CLIP's tokens of the reference `[m, imageDim]`; nil without image branch.
    ///   - pose: Latents of the pose video `[C, T − 1, h, w]`, for Wan-Animate.
    ///   - face: Face pictures of the driving frames `[3, F, size, size]` in −1 … 1, F = 1 + 4·(T − 2), for Wan-Animate.
    public func conditioning(text: Tensor, image: Tensor? = nil, pose: Tensor? = nil, face: Tensor? = nil) -> Conditioning {
        let text = embedder.text(text)
        let image = image.flatMap { tokens in embedder.image.map { $0(tokens) } }
        let contexts = blocks.map { $0.crossAttention.context(text: text, image: image) }
        guard let animate, let pose, let face else { return Conditioning(contexts: contexts, poseTokens: nil, faces: []) }
        let vectors = (0..<face.shape[1]).map { animate.motion(face.selected(1, $0)) }
        let tokens = animate.face(Tensor.stacked(vectors))
        // The reference's latent frame, which comes first, has a face of zeros.
        let all = tokens.padded(0, before: 1)
        return Conditioning(
            contexts: contexts, poseTokens: animate.posePatches(pose), faces: animate.adapters.map { $0.context(all) })
    }

    /// The velocity at every latent pixel.
    ///
    /// - Parameters:
    ///   - x: `[in, T, h, w]`.
    ///   - timesteps: In 0 … 1000: one, or one per token.
    /// - Returns: `[out, T, h, w]`.
    public func callAsFunction(_ x: Tensor, timesteps: [Float], _ conditioning: Conditioning) -> Tensor {
        let c = configuration
        let p = c.patchSize
        let (T, H, W) = (x.shape[1] / p[0], x.shape[2] / p[1], x.shape[3] / p[2])
        var tokens = patchEmbedding(x)
        precondition(
            timesteps.count == 1 || timesteps.count == tokens.shape[0], "\(timesteps.count) timesteps for \(tokens.shape[0]) tokens")
        if let pose = conditioning.poseTokens { tokens += pose.padded(0, before: tokens.shape[0] - pose.shape[0]) }
        let (embedding, modulation) = embedder.time(timesteps)
        let table = RotaryTable(frames: Array(0..<T), grid: (H, W), headDim: c.headDim, theta: 10000)
        for (index, block) in blocks.enumerated() {
            tokens = block(tokens, time: modulation, conditioning.contexts[index]) { block.selfAttention.selfAttention($0, table) }
            if index % c.faceInterval == 0, index / c.faceInterval < conditioning.faces.count, let animate {
                tokens += animate.adapters[index / c.faceInterval](tokens, conditioning.faces[index / c.faceInterval])
            }
        }
        return Self.output(tokens, embedding, headModulation, head, c, grid: [T, H, W])
    }

    /// The modulated head, and patches back to pixels: channels are fastest in a patch.
    static func output(
        _ tokens: Tensor, _ embedding: Tensor, _ modulation: Tensor, _ head: Linear, _ c: WanConfiguration, grid: [Int]
    ) -> Tensor {
        let (T, H, W, p) = (grid[0], grid[1], grid[2], c.patchSize)
        let e = embedding.unsqueezed(1) + modulation  // [n, 2, dim]: shift, scale
        let y = head(tokens.layerNorm(eps: c.eps) * (e.selected(1, 1) + 1) + e.selected(1, 0))
        return y.reshaped(T, H, W, p[0], p[1], p[2], c.outChannels).permuted(6, 0, 3, 1, 4, 2, 5)
            .reshaped(c.outChannels, T * p[0], H * p[1], W * p[2])
    }
}
