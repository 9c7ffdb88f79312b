import Foundation
import Tensors

extension WeightNames {
    /// The names of Wan's original text encoder for ``UMT5Encoder``, which has those of transformers.
    static let umt5 = WeightNames(
        names: { name in
            switch name {
            case "token_embedding.weight": return ["shared.weight"]
            case "norm.weight": return ["encoder.final_layer_norm.weight"]
            default:
                let parts = name.split(separator: ".", maxSplits: 2).map(String.init)
                guard parts.count == 3, parts[0] == "blocks", let own = inBlock[parts[2]] else { return [name] }
                return ["encoder.block.\(parts[1]).\(own)"]
            }
        }, aliases: { _ in [] })

    private static let inBlock = [
        "norm1.weight": "layer.0.layer_norm.weight", "attn.q.weight": "layer.0.SelfAttention.q.weight", "attn.k.weight": "layer.0.SelfAttention.k.weight",
        "attn.v.weight": "layer.0.SelfAttention.v.weight", "attn.o.weight": "layer.0.SelfAttention.o.weight",
        "pos_embedding.embedding.weight": "layer.0.SelfAttention.relative_attention_bias.weight", "norm2.weight": "layer.1.layer_norm.weight",
        "ffn.gate.0.weight": "layer.1.DenseReluDense.wi_0.weight", "ffn.fc1.weight": "layer.1.DenseReluDense.wi_1.weight",
        "ffn.fc2.weight": "layer.1.DenseReluDense.wo.weight",
    ]
}

extension UMT5Encoder.Configuration {
    /// The sizes of a checkpoint without `config.json`, read off its tensors.
    ///
    /// - Parameter weights: Under the network's names.
    /// - Throws: `WeightError` when a tensor that tells a size is missing.
    init(readOff weights: WeightStore) throws {
        func shape(_ name: String) throws -> [Int] {
            guard let shape = weights.shape(name), shape.count == 2, !shape.contains(0) else {
                throw WeightError(path: weights.path, "has no config.json, and no tensor '\(name)' from which the sizes of a UMT5 encoder could be told")
            }
            return shape
        }
        let first = "encoder.block.0.layer"
        self = try JSONDecoder().decode(Self.self, from: Data("{}".utf8))
        let table = try shape(weights.contains("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight")
        (vocabulary, dim) = (table[0], table[1])
        let bias = try shape("\(first).0.SelfAttention.relative_attention_bias.weight")
        (buckets, heads) = (bias[0], bias[1])
        keyDim = try shape("\(first).0.SelfAttention.q.weight")[0] / heads
        feedForwardDim = try shape("\(first).1.DenseReluDense.wi_0.weight")[0]
        layers = (0..<10_000).prefix { weights.contains("encoder.block.\($0).layer.0.layer_norm.weight") }.count
    }
}
