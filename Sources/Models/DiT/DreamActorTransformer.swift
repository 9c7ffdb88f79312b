import Foundation
public import Tensors

/// The DiT of METHOD §2.
///
/// Noise tokens carry video latent and pose; reference tokens pass through the same weights. Shapes: C latent channels, T latent
/// frames, h×w latent grid, n = (h/p)·(w/p) tokens per frame, N face tokens per video frame.
public struct DreamActorTransformer: Sendable {
    public let configuration: DreamActorConfiguration
    let fuseIn, fuseOut, patchEmbed: Linear
    let timeIn, timeOut, timeProjection: Linear
    let nullPose: Tensor  // [pose channels]
    let face: FaceInput?
    let blocks: [DreamActorBlock]
    let headModulation: Tensor  // [2, dim]: shift, scale
    let head: Linear

    struct FaceInput: Sendable {
        let null: Tensor  // [face channels]
        let position: Tensor  // [4·N, face channels]
    }

    /// Builds the network from a checkpoint.
    ///
    /// - Parameter prefix: Where its tensors stand in the checkpoint; the rest of the checkpoint is not this network's.
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore, under prefix: String = "") throws {
        let c: DreamActorConfiguration = try weights.configuration()
        try c.check(path: weights.path)
        configuration = c
        let root = prefix.isEmpty ? weights.root : weights.scope(prefix)
        let aligned = c.alignedReference ? c.inChannels : 0
        fuseIn = Linear(root.scope("fuse_in"), c.inChannels + c.poseChannels + aligned, c.fuseDim)
        fuseOut = Linear(root.scope("fuse_out"), c.fuseDim, c.fuseDim)
        patchEmbed = Linear(root.scope("patch_embed"), c.patch * c.patch * c.fuseDim, c.dim)
        timeIn = Linear(root.scope("time_in"), c.freqDim, c.dim)
        timeOut = Linear(root.scope("time_out"), c.dim, c.dim)
        timeProjection = Linear(root.scope("time_proj"), c.dim, 6 * c.dim)
        nullPose = root.tensor("null_pose", shape: [c.poseChannels])
        face =
            c.faceAttention
            ? FaceInput(
                null: root.tensor("null_face", shape: [c.faceDim]),
                position: root.tensor("face_position", shape: [4 * c.faceTokens, c.faceDim]))
            : nil
        blocks = (0..<c.layers).map { DreamActorBlock(root.scope("blocks", $0), c) }
        headModulation = root.tensor("head_modulation", shape: [2, c.dim])
        head = Linear(root.scope("head"), c.dim, c.patch * c.patch * c.inChannels)
        try weights.finish(under: prefix)
    }

    /// Latent and pose fused per latent pixel, then patched.
    ///
    /// - Parameters: x `[C, T, h, w]`, pose `[P, T, h, w]`, aligned `[C, T, h, w]`.
    /// - Returns: `[T, n, dim]`.
    func tokens(_ x: Tensor, pose: Tensor, aligned: Tensor?) -> Tensor {
        let stacked = Tensor.concatenated([x, pose] + (aligned.map { [$0] } ?? []), 0).permuted(1, 2, 3, 0)
        let y = fuseOut(fuseIn(stacked).silu())  // [T, h, w, fuse]
        let (T, h, w, C, p) = (y.shape[0], y.shape[1], y.shape[2], y.shape[3], configuration.patch)
        let patches = y.reshaped(T, h / p, p, w / p, p, C).permuted(0, 1, 3, 2, 4, 5)
        return patchEmbed(patches.reshaped(T, (h / p) * (w / p), p * p * C))
    }

    /// Timesteps in 0 … 1 → embedding `[frames, dim]` and block modulation `[frames, 6, dim]`.
    func time(_ timesteps: [Double]) -> (embedding: Tensor, modulation: Tensor) {
        let half = configuration.freqDim / 2
        var sinusoids: [Float] = []
        for t in timesteps {
            // In single precision, as in training: the phases of high frequencies depend on it.
            let angles = (0..<half).map { i -> Float in
                let frequency = Foundation.exp(Float(-log(10000.0)) * Float(i) / Float(half))
                return Float(t) * 1000 * frequency
            }
            sinusoids += angles.map { Foundation.cos($0) } + angles.map { Foundation.sin($0) }
        }
        let input = Tensor(sinusoids, [timesteps.count, 2 * half])
        let embedding = timeOut(timeIn(input).silu())
        let modulation = timeProjection(embedding.silu()).reshaped(timesteps.count, 6, configuration.dim)
        return (embedding, modulation)
    }

    private func table(_ frames: [Int], _ h: Int, _ w: Int) -> RotaryTable {
        RotaryTable(
            frames: frames, grid: (h / configuration.patch, w / configuration.patch), headDim: configuration.headDim,
            theta: configuration.ropeTheta)
    }

    /// Reference tokens `[R, n, dim]`, their modulation and rotary table (time −1, −2, …).
    private func start(_ references: Tensor, pose: Tensor?) -> (tokens: Tensor, time: Tensor, table: RotaryTable) {
        let (R, h, w) = (references.shape[0], references.shape[2], references.shape[3])
        let x = references.permuted(1, 0, 2, 3)
        let unknown = Tensor(zeros: [configuration.poseChannels, R, h, w])
        let tokens = tokens(
            x, pose: pose?.permuted(1, 0, 2, 3) ?? unknown,
            aligned: configuration.alignedReference ? Tensor(zeros: x.shape) : nil)
        let modulation = time([Double](repeating: configuration.referenceTimestep, count: R)).modulation
        return (tokens, modulation, table((0..<R).map { -1 - $0 }, h, w))
    }

    /// Prepares the references of a run.
    ///
    /// - Parameters:
    ///   - references: `[R, C, h, w]`; zeros stand for a dropped reference.
    ///   - pose: Features of the references' own skeletons and head spheres, `[R, P, h, w]`, zeros where unknown; nil: all unknown.
    public func encode(references: Tensor, pose: Tensor? = nil) -> ReferenceCache {
        precondition(
            references.rank == 4 && references.shape[1] == configuration.inChannels,
            "references [R, C, h, w] are needed, not \(references.shape)")
        guard configuration.referenceAttention == .cached else {
            return ReferenceCache(latents: references, pose: pose, blocks: [])
        }
        let (first, time, table) = start(references, pose: pose)
        var tokens = first
        var caches: [ReferenceCache.Block] = []
        for block in blocks {
            let (next, cache) = block.reference(tokens, time: time, table)
            tokens = next
            caches.append(cache)
        }
        return ReferenceCache(latents: references, pose: pose, blocks: caches)
    }

    /// Face tokens as each latent frame sees them: `[F, N, c]` → `[T, 4·N, c]`. Latent 0 sees frame 0 in all four slots.
    private func windows(_ tokens: Tensor, _ face: FaceInput) -> Tensor {
        let (N, C) = (tokens.shape[1], tokens.shape[2])
        let first = tokens.sliced(0, 0..<1)
        let padded = Tensor.concatenated([first, first, first, tokens], 0)
        return padded.reshaped(padded.shape[0] / 4, 4 * N, C) + face.position
    }

    /// The velocity ε − x₀ at every latent pixel.
    ///
    /// - Parameters:
    ///   - x: Noised latent, `[C, T, h, w]`.
    ///   - timesteps: T values in 0 … 1; 0 on a clean frame.
    ///   - pose: `[P, T, h, w]`; nil: dropped.
    ///   - face: `[1 + 4·(T − 1), N, c]`; nil: dropped.
    ///   - references: From ``encode(references:pose:)``.
    ///   - cache: Kept from step to step, if steps may reuse one another's work.
    /// - Returns: `[C, T, h, w]`.
    public func callAsFunction(
        _ x: Tensor, timesteps: [Double], pose: Tensor?, face: Tensor?, references: ReferenceCache, cache: StepCache? = nil
    ) -> Tensor {
        let c = configuration
        let p = c.patch
        let (C, T, h, w) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        precondition(
            timesteps.count == T && h % p == 0 && w % p == 0, "\(timesteps.count) timesteps for a latent \(x.shape)")
        let pose = pose ?? nullPose.reshaped(-1, 1, 1, 1).broadcast(to: [c.poseChannels, T, h, w])
        let aligned = references.latents.sliced(0, 0..<1).permuted(1, 0, 2, 3).broadcast(to: x.shape)
        var tokens = tokens(x, pose: pose, aligned: c.alignedReference ? aligned : nil)  // [T, n, dim]
        let (embedding, modulation) = time(timesteps)
        let table = table(Array(0..<T), h, w)
        let windows = self.face.map { input in
            let frames = 1 + 4 * (T - 1)
            let tokens = face ?? input.null.reshaped(1, 1, -1).broadcast(to: [frames, c.faceTokens, c.faceDim])
            precondition(
                tokens.shape == [frames, c.faceTokens, c.faceDim], "face tokens \(tokens.shape) for \(frames) frames")
            return self.windows(tokens, input)
        }
        let first = tokens
        /// Whether the layers after the first need not run.
        func isReused(_ index: Int) -> Bool {
            guard index == 0, blocks.count > 1, let known = cache?.reuse(from: first, to: tokens) else { return false }
            tokens = known
            return true
        }
        var isFull = true
        switch c.referenceAttention {
        case .cached:
            for (index, (block, reference)) in zip(blocks, references.blocks).enumerated() where isFull {
                tokens = block(tokens, time: modulation, table, reference, windows: windows)
                isFull = !isReused(index)
            }
        case .joint:
            var (reference, referenceTime, referenceTable) = start(references.latents, pose: references.pose)
            referenceTable = table.followed(by: referenceTable)
            for (index, block) in blocks.enumerated() where isFull {
                (tokens, reference) = block.joint(
                    tokens, time: modulation, referenceTable, reference: reference, referenceTime: referenceTime,
                    windows: windows)
                isFull = !isReused(index)
            }
        }
        if isFull, blocks.count > 1 { cache?.keep(tokens) }
        let e = embedding.unsqueezed(1) + headModulation  // [T, 2, dim]: shift, scale
        let y = head(tokens.layerNorm(eps: c.eps) * (e.sliced(1, 1..<2) + 1) + e.sliced(1, 0..<1))
        let output = y.reshaped(T, h / p, w / p, p, p, C).permuted(5, 0, 1, 3, 2, 4).reshaped(C, T, h, w)
        switch c.prediction {
        case .velocity: return output
        case .sample:
            // x̂₀ = output + reference; v = (x_t − x̂₀)/t, and 0 on clean frames.
            let inverse = timesteps.map { $0 > 0 ? Float(1 / max($0, c.minimumTime)) : 0 }
            return (x - (output + aligned)) * Tensor(inverse, [1, T, 1, 1])
        }
    }
}
