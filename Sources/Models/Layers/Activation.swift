import Tensors

/// An activation by the name that configurations of transformers give it.
public enum Activation: String, Sendable, CaseIterable {
    case gelu, relu, silu, swish
    case geluNew = "gelu_new"
    case geluTanh = "gelu_pytorch_tanh"
    case quickGELU = "quick_gelu"

    /// - Throws: `WeightError` that names file and key when there is none of that name.
    init(_ name: String, key: String, path: String) throws {
        guard let known = Self(rawValue: name) else {
            let names = Self.allCases.map(\.rawValue)
            throw WeightError(path: path, "config.json: \(key) is '\(name)'; \(names.dropLast().joined(separator: ", ")) and \(names[names.count - 1]) are known")
        }
        self = known
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        switch self {
        case .gelu: x.gelu()
        case .relu: x.relu()
        case .silu, .swish: x.silu()
        case .geluNew, .geluTanh: x.geluTanh()
        case .quickGELU: (x * 1.702).silu() / 1.702
        }
    }
}
