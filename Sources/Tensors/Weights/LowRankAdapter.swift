import Foundation
import Safetensors

/// A LoRA file: small changes to the weights of a network, added to them when they are read.
///
/// Key styles that are read: diffusers and PEFT (`lora_A`, `lora_B`), kohya (`lora_down`, `lora_up`, `alpha`, names with underscores), whole
/// differences (`diff`, `diff_b`), with the prefixes `transformer.`, `diffusion_model.`, `lora_unet_` and the like, in the names of the
/// network or of its original checkpoint.
public struct LowRankAdapter: Sendable {
    public let path: String
    /// What the changes are multiplied with; 1 as trained.
    public let weight: Float
    /// Changes by the name of the module they belong to, as the file spells it.
    let modules: [String: Module]
    /// Keys that no style explains.
    let unknown: [String]
    private let metadata: Metadata

    struct Module: Sendable {
        var up, down, upBias, difference, biasDifference, alpha: StoredPart?
        /// The first key of the module, for messages.
        var key: String
    }

    /// Opens a file.
    ///
    /// - Throws: ``WeightError`` when it holds no changes, or of a kind that is not supported; `SafetensorsError` when it is damaged.
    public init(path: String, weight: Float = 1) throws {
        let file = try SafetensorsFile(path: path)
        self.path = path
        self.weight = weight
        metadata = try Metadata(file.metadata["lora_adapter_metadata"], path: path)
        var modules: [String: Module] = [:], unknown: [String] = []
        for (key, info) in file.tensors.sorted(by: { $0.key < $1.key }) {
            guard let (suffix, role) = Self.suffixes.first(where: { key.hasSuffix($0.0) }) else {
                unknown.append(key)
                continue
            }
            let name = Self.withoutPrefix(String(key.dropLast(suffix.count)))
            modules[name, default: Module(key: key)][keyPath: role] = StoredPart(file, info)
        }
        let unsupported = unknown.first { key in Self.unsupported.contains { key.contains($0) } }
        if let unsupported {
            throw WeightError(
                path: path, "key '\(unsupported)' is of a kind of adapter that cannot be read; LoRA pairs (lora_A, lora_B or lora_down, lora_up), diff and diff_b can")
        }
        guard !modules.isEmpty else {
            throw WeightError(path: path, "holds no LoRA: keys that end in lora_A.weight, lora_down.weight or diff are needed")
        }
        self.modules = modules
        self.unknown = unknown
    }

    private static let suffixes: [(String, WritableKeyPath<Module, StoredPart?> & Sendable)] = [
        (".lora_A.weight", \.down), (".lora_A.default.weight", \.down), (".lora_down.weight", \.down), (".lora.down.weight", \.down),
        (".lora_linear_layer.down.weight", \.down), (".lora_B.weight", \.up), (".lora_B.default.weight", \.up), (".lora_up.weight", \.up),
        (".lora.up.weight", \.up), (".lora_linear_layer.up.weight", \.up), (".lora_B.bias", \.upBias), (".lora_B.default.bias", \.upBias),
        (".alpha", \.alpha), (".diff", \.difference), (".diff_b", \.biasDifference),
    ]
    private static let unsupported = ["dora_scale", "lora_magnitude_vector", "lora_mid", "hada_", "lokr_", "lora_embedding_", "oft_", "boft_"]
    private static let prefixes = [
        "base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "unet.", "lora_unet_", "lora_transformer_", "lycoris_",
    ]

    private static func withoutPrefix(_ name: String) -> String {
        prefixes.first { name.hasPrefix($0) }.map { withoutPrefix(String(name.dropFirst($0.count))) } ?? name
    }

    /// Hyperparameters that diffusers writes beside the tensors.
    private struct Metadata: Sendable {
        var alpha: Double?
        var alphas: [String: Double] = [:]
        var isRankStabilized = false

        init(_ text: String?, path: String) throws {
            guard let text else { return }
            guard let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] else {
                throw WeightError(path: path, "its metadata 'lora_adapter_metadata' is not a JSON object")
            }
            // Keys may have the network's name in front: transformer.lora_alpha.
            func value(_ name: String) -> Any? { object[name] ?? object.first { $0.key.hasSuffix("." + name) }?.value }
            alpha = (value("lora_alpha") as? NSNumber)?.doubleValue
            alphas = (value("alpha_pattern") as? [String: NSNumber] ?? [:]).mapValues(\.doubleValue)
            isRankStabilized = value("use_rslora") as? Bool ?? false
            if value("use_dora") as? Bool == true { throw WeightError(path: path, "is a DoRA, which cannot be merged; LoRA can") }
        }
    }

    /// What the product of a module's pair is multiplied with.
    func factor(_ name: String, _ module: Module, rank: Int) throws -> Float {
        if let alpha = module.alpha {
            guard alpha.info.count == 1 else { throw WeightError(path: path, "'\(alpha.info.name)' has shape \(alpha.info.shape), one number expected") }
            let number = alpha.info.dtype == .f64 ? Float(try alpha.file.array(alpha.info.name, of: Double.self)[0]) : try alpha.load().array[0]
            return weight * number / Float(rank)
        }
        let own = metadata.alphas.first { name == $0.key || name.hasSuffix("." + $0.key) }?.value
        guard let alpha = own ?? metadata.alpha else { return weight }
        return weight * Float(alpha / (metadata.isRankStabilized ? Double(rank).squareRoot() : Double(rank)))
    }
}
