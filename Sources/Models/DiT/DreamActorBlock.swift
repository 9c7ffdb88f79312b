import Tensors

/// One block of the DiT (METHOD §2): self attention over noise and reference tokens, cross attention to reference and face
/// tokens, feed-forward.
struct DreamActorBlock: Sendable {
    let modulation: Tensor  // [6, dim]: shift, scale, gate of attention; shift, scale, gate of feed-forward
    let selfAttention: DreamActorAttention
    let normReference, normReferenceContext: LayerNorm
    let referenceAttention: DreamActorAttention
    let face: Face?
    let feedForwardIn, feedForwardOut: Linear
    let order: [DreamActorConfiguration.CrossAttention]
    let eps: Float

    struct Face: Sendable {
        let norm, normContext: LayerNorm
        let attention: DreamActorAttention
    }

    init(_ weights: WeightScope, _ c: DreamActorConfiguration) {
        modulation = weights.tensor("modulation", shape: [6, c.dim])
        selfAttention = DreamActorAttention(weights.scope("attn"), c.dim, heads: c.heads, eps: c.eps)
        normReference = LayerNorm(weights.scope("norm_reference"), c.dim, eps: c.eps)
        normReferenceContext = LayerNorm(weights.scope("norm_reference_kv"), c.dim, eps: c.eps)
        referenceAttention = DreamActorAttention(weights.scope("reference_attn"), c.dim, heads: c.heads, eps: c.eps)
        feedForwardIn = Linear(weights.scope("ffn_in"), c.dim, c.ffnDim, isLarge: true)
        feedForwardOut = Linear(weights.scope("ffn_out"), c.ffnDim, c.dim, isLarge: true)
        face =
            c.faceAttention
            ? Face(
                norm: LayerNorm(weights.scope("norm_face"), c.dim, eps: c.eps),
                normContext: LayerNorm(weights.scope("norm_face_kv"), c.faceDim, eps: c.eps),
                attention: DreamActorAttention(
                    weights.scope("face_attn"), c.dim, heads: c.heads, context: c.faceDim, eps: c.eps))
            : nil
        order = c.attentionOrder
        eps = c.eps
    }

    /// Shift, scale and gate, twice, of each frame: `[frames, 1, dim]` each.
    typealias Modulation = [Tensor]

    /// - Parameter time: `[frames, 6, dim]`, from the timesteps.
    func modulation(_ time: Tensor) -> Modulation {
        let sum = time + modulation
        return (0..<6).map { sum.sliced(1, $0..<($0 + 1)) }
    }

    private func modulated(_ x: Tensor, shift: Tensor, scale: Tensor) -> Tensor {  // [frames, n, dim]
        x.layerNorm(scale + 1, shift, eps: eps)
    }

    private func flat(_ x: Tensor) -> Tensor { x.flattened(0...1) }  // [frames·n, dim]

    func feedForward(_ x: Tensor, _ e: Modulation) -> Tensor {
        feedForwardOut(feedForwardIn(modulated(x, shift: e[3], scale: e[4]), .geluTanh), addedTo: x, gate: e[5]).reshaped(x.shape)
    }

    /// What reference tokens leave behind in this block, and the tokens themselves after it.
    func reference(_ tokens: Tensor, time: Tensor, _ table: RotaryTable) -> (
        tokens: Tensor, cache: ReferenceCache.Block
    ) {
        let cross = referenceAttention.keyValue(normReferenceContext(flat(tokens)))
        let e = modulation(time)
        let y = flat(modulated(tokens, shift: e[0], scale: e[1]))
        let own = selfAttention.keyValue(y, table)
        let attended = selfAttention.attend(selfAttention.query(y, table), own, addedTo: tokens, gate: e[2])
        let result = feedForward(attended.reshaped(tokens.shape), e)
        return (result, ReferenceCache.Block(own: own, cross: cross))
    }

    /// - Parameters:
    ///   - x: Noise tokens, `[frames, n, dim]`.
    ///   - windows: Face tokens of each latent frame, `[frames, 4·N, faceDim]`.
    func callAsFunction(
        _ x: Tensor, time: Tensor, _ table: RotaryTable, _ cache: ReferenceCache.Block, windows: Tensor?
    ) -> Tensor {
        let e = modulation(time)
        let y = flat(modulated(x, shift: e[0], scale: e[1]))
        // Self attention over [noise ; reference].
        let keyValue = selfAttention.keyValue(y, table).followed(by: cache.own)
        let attended = selfAttention.attend(selfAttention.query(y, table), keyValue, addedTo: x, gate: e[2])
        return feedForward(cross(attended.reshaped(x.shape), cache.cross, windows), e)
    }

    /// Reference and face attention, in the configured order.
    private func cross(_ x: Tensor, _ reference: KeyValue, _ windows: Tensor?) -> Tensor {
        var x = x
        for kind in order {
            switch kind {
            case .reference:
                let q = referenceAttention.query(normReference(flat(x)))
                x = referenceAttention.attend(q, reference, addedTo: x).reshaped(x.shape)
            case .face:
                guard let face, let windows else { continue }
                // Tokens of one latent frame see the face tokens of the frames it covers.
                x = face.attention.attend(
                    face.attention.query(face.norm(x)), face.attention.keyValue(face.normContext(windows)), addedTo: x)
            }
        }
        return x
    }

    /// As ``callAsFunction(_:time:_:_:windows:)``, with reference tokens that attend to noise tokens as well.
    func joint(
        _ x: Tensor, time: Tensor, _ table: RotaryTable, reference: Tensor, referenceTime: Tensor, windows: Tensor?
    ) -> (noise: Tensor, reference: Tensor) {
        let context = referenceAttention.keyValue(normReferenceContext(flat(reference)))
        let frames = x.shape[0]
        let both = Tensor.concatenated([x, reference], 0)
        let e = modulation(Tensor.concatenated([time, referenceTime], 0))
        let y = flat(modulated(both, shift: e[0], scale: e[1]))
        let after = selfAttention.attend(
            selfAttention.query(y, table), selfAttention.keyValue(y, table), addedTo: both, gate: e[2]
        ).reshaped(both.shape)
        let noise = cross(after.sliced(0, 0..<frames), context, windows)
        let rest = after.sliced(0, frames..<after.shape[0])
        let result = feedForward(Tensor.concatenated([noise, rest], 0), e)
        return (result.sliced(0, 0..<frames), result.sliced(0, frames..<result.shape[0]))
    }
}
