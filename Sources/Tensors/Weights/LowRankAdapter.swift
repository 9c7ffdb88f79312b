import Foundation
import Safetensors

/// A LoRA file: small changes to the weights of a network, added to them when they are read.
///
/// Key styles that are read: diffusers and PEFT (`lora_A`, `lora_B`), kohya (`lora_down`, `lora_up`, `alpha`, names with underscores), whole
/// differences (`diff`, `diff_b`), with the prefixes `transformer.`, `diffusion_model.`, `lora_unet_` and the like, in the names of the
/// network or of its original checkpoint. Of a file `adapter_model.safetensors`, as PEFT writes it, the hyperparameters are in
/// `adapter_config.json` beside it.
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
        guard weight.isFinite else { throw WeightError(path: path, "the weight of a LoRA must be a finite number, not \(weight)") }
        let file = try SafetensorsFile(path: path)
        self.path = path
        self.weight = weight
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
        let ownsAlphas = modules.values.contains { $0.alpha != nil }
        metadata = try file.metadata["lora_adapter_metadata"].map { try Metadata($0, path: path) } ?? (ownsAlphas ? nil : Metadata(beside: path)) ?? Metadata()
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

    /// Hyperparameters that diffusers writes beside the tensors, and PEFT in a file of their own. The rank needs none: the tensors have it.
    private struct Metadata: Sendable {
        var alpha: Double?
        /// By what PEFT takes for a regular expression of the end of a module's name; the first that fits counts, in the order that it writes.
        var alphas: [(pattern: String, alpha: Double)] = []
        var isRankStabilized = false

        init() {}

        /// - Parameter text: What the file's own metadata says.
        init(_ text: String, path: String) throws {
            guard let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] else {
                throw WeightError(path: path, "its metadata 'lora_adapter_metadata' is not a JSON object")
            }
            try self.init(object, path: path)
        }

        /// What stands beside a file that PEFT wrote; nil if there is nothing.
        init?(beside file: String) throws {
            let url = URL(filePath: file), neighbour = url.deletingLastPathComponent().appending(path: "adapter_config.json").path
            guard url.lastPathComponent == "adapter_model.safetensors", let data = FileManager.default.contents(atPath: neighbour) else { return nil }
            guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
                throw WeightError(path: neighbour, "is not a JSON object")
            }
            try self.init(object, path: neighbour)
            alpha = alpha ?? 8  // PEFT's own default
        }

        private init(_ object: [String: Any], path: String) throws {
            // Keys may have the network's name in front: transformer.lora_alpha.
            func value(_ name: String) -> Any? { (object[name] ?? object.first { $0.key.hasSuffix("." + name) }?.value).flatMap { $0 is NSNull ? nil : $0 } }
            func number(_ value: Any, _ key: String) throws -> Double {
                guard let number = (value as? NSNumber)?.doubleValue, number.isFinite else { throw WeightError(path: path, "'\(key)' is \(value), a number expected") }
                return number
            }
            if let type = value("peft_type") as? String, type != "LORA" { throw WeightError(path: path, "peft_type is \(type); LORA can be merged") }
            if value("use_dora") as? Bool == true { throw WeightError(path: path, "is a DoRA, which cannot be merged; LoRA can") }
            let others = Self.unsupported.filter { value($0).map { $0 as? Bool != false } ?? false }
            guard others.isEmpty else { throw WeightError(path: path, "\(others.map { "'\($0)'" }.joined(separator: ", ")): such an adapter cannot be merged; plain LoRA can") }
            // These take something away from the model's own weights before the LoRA is added.
            if let start = value("init_lora_weights") as? String, ["pissa", "corda", "olora", "loftq", "lora_ga", "mica"].contains(where: start.lowercased().hasPrefix) {
                throw WeightError(path: path, "init_lora_weights is '\(start)', which changes the model's own weights; convert the adapter to a plain LoRA")
            }
            alpha = try value("lora_alpha").map { try number($0, "lora_alpha") }
            alphas = try (value("alpha_pattern") as? [String: Any] ?? [:]).map { ($0.key, try number($0.value, "alpha_pattern.\($0.key)")) }
                .sorted { $0.0 < $1.0 }
            isRankStabilized = value("use_rslora") as? Bool ?? false
        }

        private static let unsupported = [
            "use_qalora", "use_bdlora", "kasa_config", "velora_config", "monteclora_config", "arrow_config", "alora_invocation_tokens", "layer_replication",
        ]

        /// The alpha of a module, if any is given.
        func alpha(_ name: String) -> Double? {
            let own = alphas.first { pattern, _ in
                if name == pattern || name.hasSuffix("." + pattern) { return true }
                return (try? Regex("(?:.*\\.)?(?:\(pattern))")).flatMap { try? $0.wholeMatch(in: name) } != nil
            }
            return own?.alpha ?? alpha
        }
    }

    /// What the product of a module's pair is multiplied with.
    func factor(_ name: String, _ module: Module, rank: Int) throws -> Float {
        if let alpha = module.alpha {
            guard alpha.info.count == 1 else { throw WeightError(path: path, "'\(alpha.info.name)' has shape \(alpha.info.shape), one number expected") }
            let number = try number(alpha)
            guard number.isFinite else { throw WeightError(path: path, "LoRA key '\(alpha.info.name)' is \(number); the file is damaged") }
            return weight * number / Float(rank)
        }
        guard let alpha = metadata.alpha(name) else { return weight }
        return weight * Float(alpha / (metadata.isRankStabilized ? Double(rank).squareRoot() : Double(rank)))
    }

    /// A tensor of one number, which may be an integer as well.
    private func number(_ part: StoredPart) throws -> Float {
        func first<T: TensorElement>(_ type: T.Type) throws -> T { try part.file.array(part.info.name, of: type)[0] }
        return switch part.info.dtype {
        case .f64: Float(try first(Double.self))
        case .i64: Float(try first(Int64.self))
        case .i32: Float(try first(Int32.self))
        case .u8: Float(try first(UInt8.self))
        default: try part.load().array[0]
        }
    }
}
