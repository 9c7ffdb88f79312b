public import Tensors

/// The Wan video transformers (`WanTransformer3DModel`, text- or image-conditioned; `WanAnimateTransformer3DModel`), as published.
///
/// C latent channels, T latent frames, h×w latent grid; tokens run over frames, rows, columns of patches.
public struct WanTransformer: Sendable {
    public let configuration: WanConfiguration
    let patchEmbedding: Patches
    let embedder: LayerStack<WanConditionEmbedder>  // one
    let layers: LayerStack<WanLayer>
    let headModulation: Tensor  // [2, dim]: shift, scale
    let head: Linear
    let animate: Animate?
    /// What of a LoRA was left out, for people.
    public let notes: [String]

    /// What pose and face need.
    struct Animate: Sendable {
        let posePatches: Patches
        let motion: WanMotionEncoder
        let face: WanFaceEncoder
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

    public typealias Conditioning = WanConditioning

    /// Builds the network from a checkpoint, in the names of diffusers or of the original; without `config.json` its sizes are read off
    /// the tensors.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore) throws {
        let weights = weights.translated(by: .wanTransformer)
        let c = try WanConfiguration(weights)
        configuration = c
        notes = weights.notes
        let root = weights.root
        patchEmbedding = Patches(root.scope("patch_embedding"), c.inChannels, c)
        headModulation = root.tensor("scale_shift_table", shape: [1, 2, c.dim]).squeezed(0)
        head = Linear(root.scope("proj_out"), c.dim, c.outChannels * c.patchSize.reduce(1, *))
        animate =
            c.isAnimate
            ? Animate(
                posePatches: Patches(root.scope("pose_patch_embedding"), c.latentChannels ?? 16, c),
                motion: WanMotionEncoder(root.scope("motion_encoder"), c), face: WanFaceEncoder(root.scope("face_encoder"), c))
            : nil
        embedder = LayerStack(weights, count: 1, prefixes: { _ in ["condition_embedder"] }) { root, _ in
            WanConditionEmbedder(root.scope("condition_embedder"), c)
        }
        @Sendable func adapter(_ index: Int) -> Int? { c.isAnimate && index % c.faceInterval == 0 ? index / c.faceInterval : nil }
        layers = LayerStack(
            weights, count: c.layers, prefixes: { index in ["blocks.\(index)"] + (adapter(index).map { ["face_adapter.\($0)"] } ?? []) }
        ) { root, index in
            WanLayer(
                block: WanBlock(root.scope("blocks", index), c),
                adapter: adapter(index).map { WanFaceAdapter(root.scope("face_adapter", $0), c) })
        }
        // The blur of the motion encoder is a constant.
        weights.ignore { $0.hasSuffix("norm_added_q.weight") || $0.hasPrefix("motion_encoder.") && $0.hasSuffix(".kernel") }
        try weights.finish()
    }

    /// Prepares what does not change from step to step; the same conditioning may serve every step and every segment.
    ///
    /// - Parameters:
    ///   - text: Text tokens `[n, textDim]`, padding included: it is attended to.
    ///   - image: CLIP's tokens of the reference `[m, imageDim]`; nil without image branch.
    ///   - pose: Latents of the pose video `[C, T − 1, h, w]`, for Wan-Animate.
    ///   - face: Face pictures of the driving frames `[3, F, size, size]` in −1 … 1, F = 1 + 4·(T − 2), for Wan-Animate.
    /// - Throws: `WeightError`, as the passes do, when a layer that did not fit in memory cannot be read.
    public func conditioning(text: Tensor, image: Tensor? = nil, pose: Tensor? = nil, face: Tensor? = nil) throws -> WanConditioning {
        let embedder = try embedder[0]
        let prompt = WanContext(
            text: embedder.text(text), image: image.flatMap { tokens in embedder.image.map { $0(tokens) } }, layers: layers.count,
            isKept: layers.isResident)
        return conditioning(WanConditioning(prompt: prompt), pose: pose, face: face)
    }

    /// The same text and image with another segment's pose and face.
    public func conditioning(_ same: WanConditioning, pose: Tensor?, face: Tensor?) -> WanConditioning {
        guard let animate, let pose, let face else { return same }
        // Pictures that repeat, such as those that stand for no face in guidance, are encoded once.
        var vectors: [Tensor] = [], last: Tensor?
        for frame in 0..<face.shape[1] {
            let picture = face.selected(1, frame)
            vectors.append(last?.hasSameBytes(as: picture) == true ? vectors[frame - 1] : animate.motion(picture))
            last = picture
        }
        // The reference's latent frame, which comes first, has a face of zeros.
        let tokens = animate.face(Tensor.stacked(vectors)).padded(0, before: 1)
        return WanConditioning(
            prompt: same.prompt, poseTokens: animate.posePatches(pose),
            face: WanFaceContext(tokens: tokens, layers: layers.count, isKept: layers.isResident))
    }

    /// The velocity at every latent pixel.
    ///
    /// - Parameters:
    ///   - x: `[in, T, h, w]`.
    ///   - timesteps: In 0 … 1000: one, or one per token.
    /// - Returns: `[out, T, h, w]`.
    public func callAsFunction(_ x: Tensor, timesteps: [Float], _ conditioning: WanConditioning) throws -> Tensor {
        try self(x, timesteps: timesteps, [conditioning])[0]
    }

    /// The velocities under several conditionings, such as the branches of classifier-free guidance: each layer's weights are read once for
    /// all of them.
    ///
    /// - Parameter caches: One per conditioning, kept from step to step, if steps may reuse one another's work.
    /// - Returns: `[out, T, h, w]` for each, the same bytes as alone.
    public func callAsFunction(
        _ x: Tensor, timesteps: [Float], _ conditionings: [WanConditioning], caches: [StepCache]? = nil
    ) throws -> [Tensor] {
        let c = configuration
        let p = c.patchSize
        let (T, H, W) = (x.shape[1] / p[0], x.shape[2] / p[1], x.shape[3] / p[2])
        layers.prefetch(0)
        let start = patchEmbedding(x)
        precondition(
            timesteps.count == 1 || timesteps.count == start.shape[0], "\(timesteps.count) timesteps for \(start.shape[0]) tokens")
        precondition(caches.map { $0.count == conditionings.count } ?? true, "one step cache for each conditioning is needed")
        var tokens = conditionings.map { conditioning in
            conditioning.poseTokens.map { start + $0.padded(0, before: start.shape[0] - $0.shape[0]) } ?? start
        }
        let (embedding, modulation) = try embedder[0].time(timesteps)
        let table = RotaryTable(frames: Array(0..<T), grid: (H, W), headDim: c.headDim, theta: 10000)
        var active = Array(conditionings.indices)
        for index in 0..<layers.count where !active.isEmpty {
            layers.prefetch(index + 1)
            let layer = try layers[index]
            for branch in active {
                let before = tokens[branch]
                tokens[branch] = layer(before, time: modulation, conditionings[branch], index: index, table)
                guard index == 0, let caches, layers.count > 1 else { continue }
                if let known = caches[branch].reuse(from: before, to: tokens[branch]) {
                    tokens[branch] = known
                    active.removeAll { $0 == branch }
                }
            }
        }
        if let caches, layers.count > 1 { for branch in active { caches[branch].keep(tokens[branch]) } }
        return tokens.map { Self.output($0, embedding, headModulation, head, c, grid: [T, H, W]) }
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
