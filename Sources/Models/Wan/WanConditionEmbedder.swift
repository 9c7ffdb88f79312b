import Foundation
import Tensors

/// Time, text and image as the blocks take them.
struct WanConditionEmbedder: Sendable {
    let timeIn, timeOut, timeProjection: Linear
    let textIn, textOut: Linear
    let image: Image?
    let freqDim: Int

    /// CLIP's tokens → the transformer's width. Exact GELU, and norms with eps 1e-5, unlike everywhere else.
    struct Image: Sendable {
        let normIn, normOut: LayerNorm
        let projectionIn, projectionOut: Linear
        let positions: Tensor?  // [tokens, imageDim]

        func callAsFunction(_ tokens: Tensor) -> Tensor {
            let x = positions.map { tokens + $0 } ?? tokens
            return normOut(projectionOut(projectionIn(normIn(x)).gelu()))
        }
    }

    init(_ weights: WeightScope, _ c: WanConfiguration) {
        freqDim = c.freqDim
        timeIn = Linear(weights.scope("time_embedder.linear_1"), c.freqDim, c.dim)
        timeOut = Linear(weights.scope("time_embedder.linear_2"), c.dim, c.dim)
        timeProjection = Linear(weights.scope("time_proj"), c.dim, 6 * c.dim)
        textIn = Linear(weights.scope("text_embedder.linear_1"), c.textDim, c.dim)
        textOut = Linear(weights.scope("text_embedder.linear_2"), c.dim, c.dim)
        image = c.imageDim.map { width in
            let scope = weights.scope("image_embedder")
            return Image(
                normIn: LayerNorm(scope.scope("norm1"), width, eps: 1e-5), normOut: LayerNorm(scope.scope("norm2"), c.dim, eps: 1e-5),
                projectionIn: Linear(scope.scope("ff.net.0.proj"), width, width),
                projectionOut: Linear(scope.scope("ff.net.2"), width, c.dim),
                positions: c.imagePositions.map { scope.tensor("pos_embed", shape: [1, $0, width]).squeezed(0) })
        }
    }

    /// As Wan-Animate-2 names the parts.
    init(animate2 weights: WeightScope, _ c: WanConfiguration) {
        freqDim = c.freqDim
        timeIn = Linear(weights.scope("time_embedding.0"), c.freqDim, c.dim)
        timeOut = Linear(weights.scope("time_embedding.2"), c.dim, c.dim)
        timeProjection = Linear(weights.scope("time_projection.1"), c.dim, 6 * c.dim)
        textIn = Linear(weights.scope("text_embedding.0"), c.textDim, c.dim)
        textOut = Linear(weights.scope("text_embedding.2"), c.dim, c.dim)
        image = c.imageDim.map { width in
            let scope = weights.scope("img_emb.proj")
            return Image(
                normIn: LayerNorm(scope.scope("0"), width, eps: 1e-5), normOut: LayerNorm(scope.scope("4"), c.dim, eps: 1e-5),
                projectionIn: Linear(scope.scope("1"), width, width), projectionOut: Linear(scope.scope("3"), width, c.dim),
                positions: nil)
        }
    }

    /// Timesteps in 0 … 1000 → embedding `[n, dim]` and block modulation `[n, 6, dim]`.
    func time(_ timesteps: [Float]) -> (embedding: Tensor, modulation: Tensor) {
        let half = freqDim / 2
        // In single precision, as the reference: the phases of high frequencies depend on it.
        let frequencies = (0..<half).map { Foundation.exp(Float(-log(10000.0)) * Float($0) / Float(half)) }
        let sinusoids = timesteps.flatMap { t in
            frequencies.map { Foundation.cos(t * $0) } + frequencies.map { Foundation.sin(t * $0) }
        }
        let embedding = timeOut(timeIn(Tensor(sinusoids, [timesteps.count, 2 * half])).silu())
        let modulation = timeProjection(embedding.silu())
        return (embedding, modulation.reshaped(timesteps.count, 6, -1))
    }

    func text(_ tokens: Tensor) -> Tensor { textOut(textIn(tokens).geluTanh()) }
}
