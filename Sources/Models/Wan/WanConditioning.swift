import Locking
import Tensors

/// What steers a Wan transformer and stays the same through all steps: text and image, and of one segment pose and face.
///
/// Keys and values that the layers make of them are computed in the first step that needs them and kept.
public struct WanConditioning: Sendable {
    let prompt: WanContext
    var poseTokens: Tensor?  // [tokens, dim]
    var face: WanFaceContext?
}

/// Text and image at the transformer's width, and each layer's keys and values of them.
final class WanContext: Sendable {
    let text: Tensor  // [n, dim]
    let image: Tensor?  // [m, dim]
    private let layers: LayerMemory<WanAttention.Context>

    init(text: Tensor, image: Tensor?, layers count: Int, isKept: Bool) {
        self.text = text
        self.image = image
        layers = LayerMemory(count: count, isKept: isKept)
    }

    subscript(index: Int, attention: WanAttention) -> WanAttention.Context {
        layers.value(index) { attention.context(text: text, image: image) }
    }
}

/// Face tokens by latent frame, and each adapter's keys and values of them.
final class WanFaceContext: Sendable {
    let tokens: Tensor  // [T, N, dim]
    private let layers: LayerMemory<KeyValue>

    init(tokens: Tensor, layers count: Int, isKept: Bool) {
        self.tokens = tokens
        layers = LayerMemory(count: count, isKept: isKept)
    }

    subscript(index: Int, adapter: WanFaceAdapter) -> KeyValue { layers.value(index) { adapter.context(tokens) } }
}

/// One value per layer, made when first asked for. Where the layers themselves do not fit in memory it is made anew each time: that costs
/// little beside reading a layer, and much memory otherwise.
private final class LayerMemory<Value: Sendable>: Sendable {
    private let values: Locked<[Value?]>
    private let isKept: Bool

    init(count: Int, isKept: Bool) {
        values = Locked(Array(repeating: nil, count: count))
        self.isKept = isKept
    }

    func value(_ index: Int, _ make: () -> Value) -> Value {
        if let known = values.withLock({ $0[index] }) { return known }
        let value = make()
        if isKept { values.withLock { $0[index] = value } }
        return value
    }
}

/// A block, and the face adapter that follows it in some layers of Wan-Animate.
struct WanLayer: Sendable {
    let block: WanBlock
    let adapter: WanFaceAdapter?

    func callAsFunction(_ x: Tensor, time: Tensor, _ conditioning: WanConditioning, index: Int, _ table: RotaryTable) -> Tensor {
        let y = block(x, time: time, conditioning.prompt[index, block.crossAttention]) { block.selfAttention.selfAttention($0, table) }
        guard let adapter, let face = conditioning.face else { return y }
        return y + adapter(y, face[index, adapter])
    }
}
