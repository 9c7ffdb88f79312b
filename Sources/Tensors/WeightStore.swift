import CKernels
import Foundation
import Safetensors
import Synchronization

/// Why the weights of a model could not be loaded; the message names file, tensor and both shapes.
public struct WeightError: Error, Sendable, CustomStringConvertible {
    public let path: String
    public let message: String

    public init(path: String, _ message: String) {
        self.path = path
        self.message = message
    }

    public var description: String { "\(path): \(message)" }
}

/// The tensors of a checkpoint, handed out by name and checked strictly.
///
/// A checkpoint is a Hugging Face folder (`config.json` and `*.safetensors`, single or sharded with an index) or one
/// safetensors file whose metadata holds the same JSON under `config`. Model code asks for every tensor with the shape it
/// needs; ``finish()`` then reports everything that was missing, superfluous or misshapen in one error:
///
///     let weights = try WeightStore(path: "vae")
///     let conv = Linear(weights.scope("encoder.conv_in"), 96, 3)
///     try weights.finish()
public final class WeightStore: Sendable {
    /// Folder or file, as given.
    public let path: String
    /// What large linear layers are rounded to.
    public let precision: Precision
    /// `config.json`, or the metadata entry `config` of a single file; empty when there is none.
    public let configuration: Data
    private let files: [SafetensorsFile]
    /// Which file holds a tensor.
    private let index: [String: Int]
    private let state = Mutex(State())

    private struct State {
        var used: Set<String> = []
        var problems: [String] = []
    }

    /// Opens a checkpoint; tensors are read when asked for.
    ///
    /// - Parameter precision: What large linear layers are rounded to.
    /// - Throws: ``WeightError`` when there is no checkpoint, a shard is missing or two hold the same tensor;
    ///   `SafetensorsError` when a file is damaged.
    public init(path: String, precision: Precision = .f32) throws {
        self.path = path
        self.precision = precision
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw WeightError(path: path, "does not exist; a model folder or a .safetensors file is needed")
        }
        if isFolder.boolValue {
            files = try Self.shards(folder: path).map { try SafetensorsFile(path: $0) }
            configuration = (try? Data(contentsOf: URL(filePath: path).appending(path: "config.json"))) ?? Data()
        } else {
            let file = try SafetensorsFile(path: path)
            files = [file]
            configuration = Data((file.metadata["config"] ?? "").utf8)
        }
        var index: [String: Int] = [:]
        for (number, file) in files.enumerated() {
            for name in file.tensors.keys where index.updateValue(number, forKey: name) != nil {
                throw WeightError(path: path, "tensor '\(name)' is in more than one file, \(file.file.path) among them")
            }
        }
        self.index = index
    }

    /// The safetensors files of a folder: those of its index, else the one with a standard name, else all there are.
    private static func shards(folder: String) throws -> [String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        let url = URL(filePath: folder)
        if let indexName = names.first(where: { $0.hasSuffix(".safetensors.index.json") }) {
            struct Index: Decodable { var weight_map: [String: String] }
            let indexPath = url.appending(path: indexName)
            guard let index = try? JSONDecoder().decode(Index.self, from: Data(contentsOf: indexPath)) else {
                throw WeightError(path: indexPath.path, "is not an index of shards: a JSON object with 'weight_map' expected")
            }
            let shards = Set(index.weight_map.values).sorted()
            for shard in shards {
                guard !shard.contains("/"), names.contains(shard) else {
                    throw WeightError(path: folder, "shard '\(shard)' that \(indexName) lists is missing")
                }
            }
            return shards.map { url.appending(path: $0).path }
        }
        // The standard names win over whatever else lies there, such as half-precision variants.
        let standard = ["diffusion_pytorch_model.safetensors", "model.safetensors"].filter(names.contains)
        let found = standard.isEmpty ? names.filter { $0.hasSuffix(".safetensors") } : Array(standard.prefix(1))
        guard !found.isEmpty else {
            throw WeightError(path: folder, "holds no .safetensors file")
        }
        return found.map { url.appending(path: $0).path }
    }

    /// Decodes the configuration.
    ///
    /// - Throws: ``WeightError`` when there is none or it does not fit, naming the key.
    public func configuration<C: Decodable>(_ type: C.Type = C.self) throws -> C {
        guard !configuration.isEmpty else {
            throw WeightError(path: path, "has no config.json (or 'config' in the metadata of a single file)")
        }
        do {
            return try JSONDecoder().decode(type, from: configuration)
        } catch let error as DecodingError {
            throw WeightError(path: path, "config.json: \(Self.text(error))")
        }
    }

    private static func text(_ error: DecodingError) -> String {
        func place(_ context: DecodingError.Context) -> String {
            let keys = context.codingPath.map(\.stringValue).joined(separator: ".")
            return keys.isEmpty ? "" : " at '\(keys)'"
        }
        switch error {
        case .keyNotFound(let key, let context): return "key '\(key.stringValue)' is missing\(place(context))"
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
            return "\(type) expected\(place(context))"
        case .dataCorrupted(let context): return "\(context.debugDescription)\(place(context))"
        @unknown default: return "\(error)"
        }
    }

    /// All names, sorted.
    public var names: [String] { index.keys.sorted() }
    /// Whether there is a tensor of that name.
    public func contains(_ name: String) -> Bool { index[name] != nil }
    /// The shape of a tensor, if there is one of that name.
    public func shape(_ name: String) -> [Int]? { index[name].flatMap { files[$0].tensors[name]?.shape } }

    /// A tensor of the given shape (−1: any size).
    ///
    /// When it is missing, misshapen, not of a floating type or holds NaN or infinity, that is recorded for ``finish()`` and
    /// zeros come back, so that one pass finds all mistakes.
    public func tensor(_ name: String, shape: [Int]) -> Tensor {
        let substitute = shape.map { max($0, 1) }
        guard let number = index[name], let info = files[number].tensors[name] else {
            report("tensor '\(name)' is missing (shape \(shape) expected)")
            return Tensor(zeros: substitute)
        }
        state.withLock { _ = $0.used.insert(name) }
        guard info.shape.count == shape.count, zip(shape, info.shape).allSatisfy({ $0 == -1 || $0 == $1 }) else {
            report("tensor '\(name)' has shape \(info.shape), \(shape) expected")
            return Tensor(zeros: substitute)
        }
        do {
            let tensor = try Tensor(files[number], name)
            if !tensor.isFinite { report("tensor '\(name)' holds NaN or infinity; the file is damaged") }
            return tensor
        } catch {
            report((error as? SafetensorsError)?.message ?? "\(error)")
            return Tensor(zeros: substitute)
        }
    }

    private func report(_ problem: String) { state.withLock { $0.problems.append(problem) } }

    /// Marks tensors as known though the model does not use them.
    public func ignore(where matches: (String) -> Bool) {
        let names = index.keys.filter(matches)
        state.withLock { $0.used.formUnion(names) }
    }

    /// Checks that all went well and that every tensor of the checkpoint was used.
    ///
    /// - Throws: ``WeightError`` that lists missing, misshapen, damaged and superfluous tensors (at most ten of them).
    public func finish() throws {
        let state = state.withLock { $0 }
        let extra = index.keys.filter { !state.used.contains($0) }.sorted().map {
            "tensor '\($0)' of shape \(shape($0) ?? []) is not part of the model"
        }
        let problems = state.problems + extra
        guard !problems.isEmpty else { return }
        let shown = problems.prefix(10).joined(separator: "\n  ")
        let more = problems.count > 10 ? "\n  … and \(problems.count - 10) more" : ""
        throw WeightError(path: path, "the weights do not fit the model:\n  \(shown)\(more)")
    }

    /// The tensors whose names begin with `prefix` and a dot.
    public func scope(_ prefix: String) -> WeightScope { WeightScope(store: self, prefix: prefix) }
    /// All tensors.
    public var root: WeightScope { WeightScope(store: self, prefix: "") }
}

/// A view of a ``WeightStore`` under a prefix.
public struct WeightScope: Sendable {
    public let store: WeightStore
    public let prefix: String

    /// A scope inside this one.
    public func scope(_ name: String) -> WeightScope { WeightScope(store: store, prefix: full(name)) }
    /// A numbered scope inside this one, `name.index`.
    public func scope(_ name: String, _ index: Int) -> WeightScope { scope("\(name).\(index)") }
    /// A tensor of the given shape; see ``WeightStore/tensor(_:shape:)``.
    public func tensor(_ name: String, shape: [Int]) -> Tensor { store.tensor(full(name), shape: shape) }
    public func contains(_ name: String) -> Bool { store.contains(full(name)) }
    public func shape(_ name: String) -> [Int]? { store.shape(full(name)) }
    private func full(_ name: String) -> String { prefix.isEmpty ? name : "\(prefix).\(name)" }
}
