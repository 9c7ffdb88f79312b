import Foundation
import Tensors

extension WeightNames {
    /// The names of Wan's original image encoder for ``CLIPVision``, which has those of transformers.
    static let clipVision = WeightNames(
        names: { stored in
            let name = stored.hasPrefix("visual.") ? String(stored.dropFirst(7)) : stored
            let parts = name.split(separator: ".").map(String.init)
            if let own = parts.first.flatMap({ outer[$0] }) { return [([own] + parts.dropFirst()).joined(separator: ".")] }
            guard parts.count == 5 || parts.count == 4, parts[0] == "transformer", let leaf = parts.last else { return [name] }
            let layer = "encoder.layers.\(parts[1])"
            guard let own = inLayer[parts[2..<(parts.count - 1)].joined(separator: ".")] else { return [name] }
            return own.map { "\(layer).\($0).\(leaf)" }
        }, aliases: { _ in [] })

    private static let outer = [
        "cls_embedding": "embeddings.class_embedding", "pos_embedding": "embeddings.position_embedding.weight",
        "patch_embedding": "embeddings.patch_embedding", "pre_norm": "pre_layrnorm", "post_norm": "post_layernorm",
    ]
    /// Queries, keys and values are one matrix there.
    private static let inLayer = [
        "norm1": ["layer_norm1"], "norm2": ["layer_norm2"], "attn.to_qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "attn.proj": ["self_attn.out_proj"], "mlp.0": ["mlp.fc1"], "mlp.2": ["mlp.fc2"],
    ]
}

extension CLIPVision.Configuration {
    /// The sizes of a checkpoint without `config.json`, read off its tensors; heads are 80 wide and the activation is the exact GELU, as in the
    /// ViT-H/14 that Wan was trained with.
    ///
    /// - Parameter weights: The network's own tensors.
    /// - Throws: `WeightError` when a tensor that tells a size is missing, or the width is no multiple of 80.
    init(readOff weights: WeightScope) throws {
        func refuse(_ message: String) -> WeightError { WeightError(path: weights.store.path, "has no config.json, and \(message)") }
        func shape(_ name: String, rank: Int) throws -> [Int] {
            guard let shape = weights.shape(name), shape.count == rank, !shape.contains(0) else {
                throw refuse("no tensor '\(name)' from which the sizes of CLIP's vision transformer could be told")
            }
            return shape
        }
        self = try JSONDecoder().decode(Self.self, from: Data("{}".utf8))
        let patches = try shape("embeddings.patch_embedding.weight", rank: 4)
        (hiddenSize, channels, patchSize) = (patches[0], patches[1], patches[2])
        guard hiddenSize % 80 == 0 else { throw refuse("is \(hiddenSize) wide: not of the kind of Wan's ViT-H/14, whose heads are 80 wide; give a folder with config.json") }
        heads = hiddenSize / 80
        activation = "gelu"
        let positions = (weights.shape("embeddings.position_embedding.weight") ?? []).reduce(1, *) / hiddenSize
        imageSize = Int(Double(max(0, positions - 1)).squareRoot().rounded()) * patchSize
        intermediateSize = try shape("encoder.layers.0.mlp.fc1.weight", rank: 2)[0]
        layers = (0..<10_000).prefix { weights.contains("encoder.layers.\($0).layer_norm1.weight") }.count
        projectionDim = weights.store.shape("visual_projection.weight")?.first ?? projectionDim
    }
}
