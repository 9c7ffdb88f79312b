import Tensors

extension WeightStore {
    /// As ``finish()``, for a network whose tensors all stand under `prefix`: others are not its own.
    func finish(under prefix: String) throws {
        if !prefix.isEmpty { ignore { !$0.hasPrefix(prefix + ".") } }
        try finish()
    }
}
