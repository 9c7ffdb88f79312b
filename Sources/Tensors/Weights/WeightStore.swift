import CKernels
import Foundation
import Locking
import Safetensors

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
/// safetensors file whose metadata holds the same JSON under `config`. Files are mapped; a tensor becomes single precision when it is asked
/// for: f16, bf16 and 8-bit floats (with their scales) are widened, adapters are added. Model code asks for every tensor with the shape
/// it needs; ``finish()`` then reports everything that was missing, superfluous or misshapen in one error:
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
    /// Bytes of weights that may stay in memory; those of deep networks beyond that are read again from the file at each use.
    public let residentLimit: Int
    /// Tensors as the files name them (but for a prefix that all share, and the scales of 8-bit tensors).
    private let stored: [String: StoredWeight]
    private let adapters: [LowRankAdapter]
    private let weights: [String: StoredWeight]
    /// What of the adapters was left out, for people.
    public let notes: [String]
    private let state: Locked<State>

    private struct State {
        var used: Set<String> = []
        /// Tensors whose numbers were read and are finite.
        var sound: Set<String> = []
        var problems: [String] = []
        /// Tensors whose bytes are in the sum, or stay in memory only while they are used.
        var counted: Set<String> = []
        var residentBytes = 0
    }

    /// Opens a checkpoint; tensors are read when asked for.
    ///
    /// - Parameters:
    ///   - precision: What large linear layers are rounded to.
    ///   - adapters: LoRA files that are added to the weights.
    ///   - residentLimit: Bytes of weights that may stay in memory; nil: three fifths of the memory this process may use.
    /// - Throws: ``WeightError`` when there is no checkpoint, a shard is missing or two hold the same tensor;
    ///   `SafetensorsError` when a file is damaged.
    public convenience init(
        path: String, precision: Precision = .f32, adapters: [LowRankAdapter] = [], residentLimit: Int? = nil
    ) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw WeightError(path: path, "does not exist; a model folder or a .safetensors file is needed")
        }
        let files: [SafetensorsFile]
        let configuration: Data
        if isFolder.boolValue {
            files = try Self.shards(folder: path).map { try SafetensorsFile(path: $0) }
            configuration = (try? Data(contentsOf: URL(filePath: path).appending(path: "config.json"))) ?? Data()
        } else {
            let file = try SafetensorsFile(path: path)
            files = [file]
            configuration = Data((file.metadata["config"] ?? "").utf8)
        }
        var stored: [String: StoredWeight] = [:]
        for file in files {
            for (name, info) in file.tensors where stored.updateValue(StoredWeight(part: StoredPart(file, info)), forKey: name) != nil {
                throw WeightError(path: path, "tensor '\(name)' is in more than one file, \(file.file.path) among them")
            }
        }
        self.init(
            path: path, precision: precision, configuration: configuration, residentLimit: residentLimit ?? MemoryLimit.bytes() / 5 * 3,
            stored: try Self.tidied(stored, path: path, block: WeightScale.block(in: configuration, path: path)), adapters: adapters, names: .asStored)
    }

    private init(
        path: String, precision: Precision, configuration: Data, residentLimit: Int, stored: [String: StoredWeight],
        adapters: [LowRankAdapter], names: WeightNames
    ) {
        self.path = path
        self.precision = precision
        self.configuration = configuration
        self.residentLimit = residentLimit
        self.stored = stored
        self.adapters = adapters
        var weights: [String: StoredWeight] = [:]
        var problems: [String] = []
        for (name, weight) in stored {
            let targets = names.names(name)
            for (part, target) in targets.enumerated() {
                var weight = weight
                if targets.count > 1, let rows = weight.part.info.shape.first {
                    let range = (part * rows / targets.count)..<((part + 1) * rows / targets.count)
                    weight = StoredWeight(part: StoredPart(weight.part.file, weight.part.info, rows: range), scale: weight.scale)
                }
                if weights.updateValue(weight, forKey: target) != nil { problems.append("two tensors of the files are '\(target)'") }
            }
        }
        let merged = AdapterMerging(weights, names: names, adapters: adapters)
        self.weights = merged.weights
        notes = merged.notes
        state = Locked(State(problems: problems + merged.problems))
    }

    /// The same checkpoint under the names of a network.
    public func translated(by names: WeightNames) -> WeightStore {
        WeightStore(
            path: path, precision: precision, configuration: configuration, residentLimit: residentLimit, stored: stored,
            adapters: adapters, names: names)
    }

    /// Drops the prefix that checkpoints of whole programs put before every name, and ties the scales of 8-bit tensors to them.
    ///
    /// - Throws: ``WeightError`` when a tensor has two, or is stored in a format that is not known.
    private static func tidied(_ stored: [String: StoredWeight], path: String, block: [Int]?) throws -> [String: StoredWeight] {
        func isMarker(_ name: String) -> Bool { name == "spiece_model" || isScaledMarker(name) }
        func isScaledMarker(_ name: String) -> Bool { name == "scaled_fp8" || name.hasSuffix(".scaled_fp8") }
        var result = stored.filter { !isMarker($0.key) && !$0.key.hasSuffix(WeightScale.formatEnding) }
        for (name, weight) in stored.sorted(by: { $0.key < $1.key }) where name.hasSuffix(WeightScale.formatEnding) {
            try WeightScale.checkFormat(name, weight.part, path: path)
        }
        for prefix in ["model.diffusion_model.", "diffusion_model.", "model."] where !result.isEmpty && result.keys.allSatisfy({ $0.hasPrefix(prefix) }) {
            result = Dictionary(uniqueKeysWithValues: result.map { (String($0.key.dropFirst(prefix.count)), $0.value) })
        }
        for (name, weight) in result {
            for ending in WeightScale.endings where name.hasSuffix(ending) {
                let target = String(name.dropLast(ending.count)) + ".weight"
                guard let found = result[target] else { continue }
                if let other = found.scale { throw WeightError(path: path, "tensor '\(target)' has two scales, \([name, other.part.info.name].sorted())") }
                result[target]?.scale = WeightScale(part: weight.part, block: block)
                result[name] = nil
            }
            // Scales of activations: ours are not quantised.
            if name.hasSuffix(".scale_input") || name.hasSuffix(".input_scale") { result[name] = nil }
        }
        // The marker says that 8-bit weights have scales. It stands in files without any, too.
        if stored.keys.contains(where: isScaledMarker), result.values.contains(where: { $0.scale != nil }) {
            let bare = result.filter { $0.key.hasSuffix(".weight") && $0.value.scale == nil && [.f8e4m3, .f8e5m2].contains($0.value.part.info.dtype) }.keys.min()
            if let bare {
                throw WeightError(path: path, "8-bit tensor '\(bare)' has no scale ('\(bare.dropLast(7)).scale_weight'), though the file is marked as scaled (scaled_fp8)")
            }
        }
        return result
    }

    /// The safetensors files of a folder: those of its index, else the one with a standard name, else all there are.
    private static func shards(folder: String) throws -> [String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        let url = URL(filePath: folder)
        if let indexName = names.first(where: { $0.hasSuffix(".safetensors.index.json") }) {
            struct Index: Decodable { var weight_map: [String: String] }
            let indexPath = url.appending(path: indexName)
            guard let index = try? JSONDecoder().decode(Index.self, text: Data(contentsOf: indexPath)) else {
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
            let other = names.first { [".pth", ".pt", ".bin", ".ckpt", ".gguf"].contains(where: $0.hasSuffix) }
            throw WeightError(path: folder, "holds no .safetensors file\(other.map { "; '\($0)' must be converted to one" } ?? "")")
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
            return try JSONDecoder().decode(type, text: configuration)
        } catch let error as DecodingError {
            throw WeightError(path: path, "config.json: \(JSONDecoder.words(error))")
        }
    }

    /// Names the network as it will be used: configuration, files, their sizes and times, and the precision. Nil with adapters, or when a
    /// file is gone.
    public var identity: String? {
        guard adapters.isEmpty else { return nil }
        var parts = [precision.rawValue, configuration.base64EncodedString()]
        for path in Set(stored.values.map(\.part.file.file.path)).sorted() {
            guard let facts = try? FileManager.default.attributesOfItem(atPath: path), let size = facts[.size], let number = facts[.systemFileNumber],
                let changed = facts[.modificationDate] as? Date
            else { return nil }
            parts.append("\(path) \(size) \(number) \(changed.timeIntervalSince1970)")
        }
        return parts.joined(separator: "\n")
    }

    /// All names, sorted.
    public var names: [String] { weights.keys.sorted() }
    /// Whether there is a tensor of that name.
    public func contains(_ name: String) -> Bool { weights[name] != nil }
    /// The shape of a tensor, if there is one of that name.
    public func shape(_ name: String) -> [Int]? { weights[name]?.shape }

    /// Tensors and bytes in the files by element type, largest first.
    public var storedTypes: [(type: String, tensors: Int, bytes: Int)] {
        let parts = stored.values.flatMap { [$0.part, $0.scale?.part].compactMap { $0 } }
        return Dictionary(grouping: parts) { $0.info.dtype.rawValue }
            .map { ($0.key, $0.value.count, $0.value.reduce(0) { $0 + $1.info.range.count }) }.sorted { ($0.2, $0.0) > ($1.2, $1.0) }
    }

    /// A tensor of the given shape (−1: any size).
    ///
    /// When it is missing, misshapen, not of a floating type or holds NaN or infinity, that is recorded for ``finish()`` and
    /// zeros come back, so that one pass finds all mistakes.
    ///
    /// - Parameter isOutline: Whether only name and shape are checked; zeros come back, and nothing is read.
    public func tensor(_ name: String, shape: [Int], isOutline: Bool = false) -> Tensor {
        func zeros() -> Tensor { Tensor(standingInFor: shape.map { max($0, 1) }) }
        guard let weight = stored(name, shape: shape), let fitting = Self.fitting(weight.shape, shape), !isOutline else { return zeros() }
        do {
            let tensor = try weight.load()
            checkSound(name) { tensor.isFinite }
            return tensor.shape == fitting ? tensor : tensor.reshaped(fitting)
        } catch {
            report((error as? SafetensorsError)?.message ?? "\(error)")
            return zeros()
        }
    }

    /// Looks for NaN and infinity the first time that a tensor is read.
    private func checkSound(_ name: String, isFinite: () -> Bool) {
        guard state.withLock({ !$0.sound.contains(name) }) else { return }
        if isFinite() {
            state.withLock { _ = $0.sound.insert(name) }
        } else {
            let changes = weights[name]?.changes ?? []
            if let part = changes.lazy.compactMap(\.damagedPart).first {
                report("LoRA \(part.file.file.path): tensor '\(part.info.name)' holds NaN or infinity; the file is damaged")
            } else {
                report("tensor '\(name)' holds NaN or infinity\(changes.isEmpty ? "" : " with the LoRA added"); \(changes.isEmpty ? "the file is" : "one of the files is") damaged")
            }
        }
    }

    /// A matrix for a linear layer; what is wrong with it is recorded as by ``tensor(_:shape:isOutline:)``.
    ///
    /// With `precision` bf16 a matrix that the file holds as bf16, and that no adapter changes, is used where it lies in the mapped file.
    public func linearWeight(_ name: String, shape: [Int], _ precision: Precision, isOutline: Bool = false) -> LinearWeight {
        guard !isOutline else { return LinearWeight(tensor(name, shape: shape, isOutline: true)) }
        guard precision == .bf16, let weight = weights[name], weight.scale == nil, weight.changes.isEmpty,
            Self.fitting(weight.shape, shape) == shape, let storage = weight.part.borrowed
        else { return LinearWeight(tensor(name, shape: shape), precision) }
        state.withLock { _ = $0.used.insert(name) }
        let matrix = LinearWeight(rounded: storage, shape: shape)
        checkSound(name) { matrix.isFinite }
        return matrix
    }

    /// Where a tensor of the given shape (−1: any size) lies; nil if there is none, which ``finish()`` then reports.
    func stored(_ name: String, shape: [Int]) -> StoredWeight? {
        guard let weight = weights[name] else {
            report("tensor '\(name)' is missing (shape \(shape) expected)")
            return nil
        }
        state.withLock { _ = $0.used.insert(name) }
        guard Self.fitting(weight.shape, shape) != nil else {
            report("tensor '\(name)' has shape \(weight.shape), \(shape) expected")
            return nil
        }
        return weight
    }

    /// The stored shape as the one asked for; dimensions of size 1 may be missing on either side.
    private static func fitting(_ stored: [Int], _ wanted: [Int]) -> [Int]? {
        if stored.count == wanted.count { return zip(wanted, stored).allSatisfy { $0 == -1 || $0 == $1 } ? stored : nil }
        guard !wanted.contains(-1), stored.filter({ $0 != 1 }) == wanted.filter({ $0 != 1 }) else { return nil }
        return wanted
    }

    /// Bytes that a weight takes in memory: matrices are mostly those of large layers, which take the store's precision.
    private func residentBytes(_ weight: StoredWeight) -> Int {
        let width = weight.shape.count < 2 || precision == .f32 ? 4 : precision == .bf16 ? 2 : 1
        return width * weight.count
    }

    /// Bytes that the tensors under these prefixes take in memory.
    func byteCount(under prefixes: [String]) -> Int {
        weights.reduce(0) { sum, entry in prefixes.contains { entry.key.hasPrefix($0 + ".") } ? sum + residentBytes(entry.value) : sum }
    }

    /// Ends a group of tensors that were read: those of a deep network's layers count by ``reserve(_:spare:)``, others in full.
    func count(readIsResident: Bool) {
        state.withLock { state in
            let new = state.used.subtracting(state.counted)
            if readIsResident { state.residentBytes += new.reduce(0) { $0 + (weights[$1].map(residentBytes) ?? 0) } }
            state.counted.formUnion(new)
        }
    }

    /// Takes so many bytes of the resident limit, if there is room for them and for `spare` more.
    func reserve(_ bytes: Int, spare: Int) -> Bool {
        state.withLock { state in
            guard state.residentBytes + bytes + spare <= residentLimit else { return false }
            state.residentBytes += bytes
            return true
        }
    }

    /// Whether a layer of so many bytes can be worked with beside what stays in memory; if not, that is reported.
    func checkRoom(forLayerOf bytes: Int) -> Bool {
        // In bf16 matrices are used where they lie in the mapped file, and take none.
        guard precision != .bf16 else { return true }
        let held = state.withLock { $0.residentBytes }, memory = MemoryLimit.bytes()
        // An eighth more for what it computes with.
        guard held + bytes + bytes / 8 > memory else { return true }
        func gigabytes(_ bytes: Int) -> String { String(format: "%.2f GB", Double(bytes) / 1e9) }
        report(
            "one layer takes \(gigabytes(bytes)) of memory beside \(gigabytes(held)) of other weights, and this process may use \(gigabytes(memory)); "
                + "let it use more, or ask for precision bf16\(precision == .f32 ? " or int8" : "")")
        return false
    }

    /// Has the tensors under these prefixes read from disk while something else is computed.
    func prefetch(under prefixes: [String]) {
        for (name, weight) in weights where prefixes.contains(where: { name.hasPrefix($0 + ".") }) { weight.part.prefetch() }
    }

    func report(_ problem: String) { state.withLock { $0.problems.append(problem) } }
    /// What is wrong so far.
    var problems: [String] { state.withLock { $0.problems } }

    /// Marks tensors as known though the model does not use them.
    public func ignore(where matches: (String) -> Bool) {
        let names = weights.keys.filter(matches)
        state.withLock { $0.used.formUnion(names) }
    }

    /// Checks that all went well and that every tensor of the checkpoint was used.
    ///
    /// - Throws: ``WeightError`` that lists missing, misshapen, damaged and superfluous tensors (at most ten of them).
    public func finish() throws {
        let state = state.withLock { $0 }
        let extra = weights.keys.filter { !state.used.contains($0) }.sorted().map {
            "tensor '\($0)' of shape \(shape($0) ?? []) is not part of the model"
        }
        try refuse(state.problems + extra)
    }

    /// - Throws: ``WeightError`` that lists the problems (at most ten of them), if there are any.
    func refuse(_ problems: [String]) throws {
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
