public import Tensors

extension WeightStore {
    /// The network that `config.json` names: diffusers' `_class_name`, or the first of transformers' `architectures`. Single files often
    /// come without it, and Wan's original folders have classes of their own; these networks are known by their tensors.
    ///
    /// - Throws: `WeightError` when it names none.
    public func className() throws -> String {
        if configuration.isEmpty { return try guessedClassName() }
        struct Names: Decodable {
            var _class_name: String?
            var architectures: [String]?
        }
        let names: Names = try configuration()
        guard let name = names._class_name ?? names.architectures?.first else {
            throw WeightError(path: path, "config.json has neither '_class_name' nor 'architectures'")
        }
        return WanConfiguration.originalClasses.contains(name) ? try guessedClassName() : name
    }

    private func guessedClassName() throws -> String {
        let wan = translated(by: .wanTransformer)
        if wan.contains("patch_embedding.weight"), wan.contains("condition_embedder.time_proj.weight") {
            return wan.contains("pose_patch_embedding.weight") ? "WanAnimateTransformer3DModel" : "WanTransformer3DModel"
        }
        let vae = translated(by: .wanAutoencoder(in: names))
        if vae.contains("quant_conv.weight"), vae.contains("decoder.mid_block.attentions.0.to_qkv.weight") { return "AutoencoderKLWan" }
        // T5 has these positions in its first layer alone.
        let umt5 = translated(by: .umt5)
        if umt5.contains("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight") { return "UMT5EncoderModel" }
        let clip = translated(by: .clipVision)
        if ["", "vision_model."].contains(where: { clip.contains("\($0)embeddings.class_embedding") }) { return "CLIPVisionModel" }
        throw WeightError(
            path: path,
            "\(configuration.isEmpty ? "has no config.json" : "has a config.json of an original Wan"), and its tensors are not those of a Wan transformer or autoencoder, of UMT5 or of CLIP's vision transformer, which could do without")
    }

    /// The same checkpoint under the names that the network of a class has here.
    func named(for className: String) -> WeightStore {
        switch className {
        case "WanTransformer3DModel", "WanAnimateTransformer3DModel": translated(by: .wanTransformer)
        case "WanAnimate2Transformer3DModel": translated(by: .wanAnimate2)
        case "AutoencoderKLWan": translated(by: .wanAutoencoder(in: names))
        case "UMT5EncoderModel": translated(by: .umt5)
        case "CLIPVisionModel", "CLIPVisionModelWithProjection": translated(by: .clipVision)
        default: self
        }
    }
}
