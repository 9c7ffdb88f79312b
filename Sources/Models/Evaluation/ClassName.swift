public import Tensors

extension WeightStore {
    /// The network that `config.json` names: diffusers' `_class_name`, or the first of transformers' `architectures`. Single files often
    /// come without it; a Wan transformer is then known by its tensors.
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
        return name
    }

    private func guessedClassName() throws -> String {
        let wan = translated(by: .wanTransformer)
        guard wan.contains("patch_embedding.weight"), wan.contains("condition_embedder.time_proj.weight") else {
            throw WeightError(path: path, "has no config.json, and its tensors are not those of a Wan transformer, which could do without")
        }
        return wan.contains("pose_patch_embedding.weight") ? "WanAnimateTransformer3DModel" : "WanTransformer3DModel"
    }
}
