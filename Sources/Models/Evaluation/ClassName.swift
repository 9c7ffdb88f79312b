public import Tensors

extension WeightStore {
    /// The network that `config.json` names: diffusers' `_class_name`, or the first of transformers' `architectures`.
    ///
    /// - Throws: `WeightError` when it names none.
    public func className() throws -> String {
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
}
