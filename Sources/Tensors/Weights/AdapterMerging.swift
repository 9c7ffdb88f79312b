import Safetensors

/// Finds the weights that adapters change.
struct AdapterMerging {
    private(set) var weights: [String: StoredWeight]
    private(set) var problems: [String] = []
    /// What was left out, for people.
    private(set) var notes: [String] = []
    private let names: WeightNames
    /// Modules by their name with underscores for dots, in the network's spelling and in others.
    private let flat: [String: [String]]

    init(_ weights: [String: StoredWeight], names: WeightNames, adapters: [LowRankAdapter]) {
        self.weights = weights
        self.names = names
        var flat: [String: [String]] = [:]
        for name in adapters.isEmpty ? [] : weights.keys.sorted() where name.hasSuffix(".weight") {
            for spelling in [name] + names.aliases(name) {
                flat[Self.module(spelling).replacing(".", with: "_"), default: []].append(Self.module(name))
            }
        }
        self.flat = flat
        for adapter in adapters { merge(adapter) }
    }

    private static func module(_ name: String) -> String { name.hasSuffix(".weight") ? String(name.dropLast(7)) : name }

    /// The network's names for a module or parameter of an adapter; several if the adapter's spans their rows.
    private func targets(_ name: String) -> [String] {
        let dotted = names.names(name + ".weight")
        if dotted.allSatisfy({ weights[$0] != nil }) { return dotted.map(Self.module) }
        let parameter = names.names(name)
        if parameter.allSatisfy({ weights[$0] != nil }) { return parameter }
        return flat[name] ?? []
    }

    /// Whether a module or weight belongs to what sees pictures by CLIP, which one kind of network has and its sisters do not: one adapter serves both.
    private static func isOfPictures(_ name: String) -> Bool {
        ["k_img", "v_img", "add_k_proj", "add_v_proj", "norm_added_k", "img_emb", "image_embedder"].contains(where: name.contains)
    }

    private mutating func merge(_ adapter: LowRankAdapter) {
        for key in adapter.unknown { problems.append("LoRA \(adapter.path): key '\(key)' is of no known style") }
        let isBlind = !weights.keys.contains(where: Self.isOfPictures)
        var leftOut = 0
        defer {
            if leftOut > 0 { notes.append("LoRA \(adapter.path): \(leftOut) of its \(adapter.modules.count) modules see pictures by CLIP, which this network does not: left out") }
        }
        for (name, module) in adapter.modules.sorted(by: { $0.key < $1.key }) {
            let targets = targets(name)
            guard !targets.isEmpty else {
                if isBlind, Self.isOfPictures(name) {
                    leftOut += 1
                    continue
                }
                problems.append("LoRA \(adapter.path): key '\(module.key)' fits no weight of the model")
                continue
            }
            do {
                for (part, target) in targets.enumerated() {
                    try change(target, name, module, adapter, part: part, of: targets.count)
                }
            } catch {
                problems.append((error as? WeightError)?.description ?? "\(error)")
            }
        }
    }

    private mutating func change(
        _ target: String, _ name: String, _ module: LowRankAdapter.Module, _ adapter: LowRankAdapter, part: Int, of parts: Int
    ) throws {
        func refuse(_ part: StoredPart, _ what: String) -> WeightError {
            WeightError(path: adapter.path, "LoRA key '\(part.info.name)' has shape \(part.info.shape), which does not fit \(what)")
        }
        /// The rows of a tensor that belong to this target.
        func rows(_ whole: StoredPart) -> StoredPart {
            guard parts > 1, let count = whole.info.shape.first else { return whole }
            return StoredPart(whole.file, whole.info, rows: (part * count / parts)..<((part + 1) * count / parts))
        }
        let weightName = weights[target + ".weight"] != nil ? target + ".weight" : target
        guard let shape = weights[weightName]?.shape else { return }
        var biasFactor = adapter.weight
        switch (module.up, module.down) {
        case (let up?, let down?):
            let rank = down.info.shape.first ?? 0, u = rows(up)
            guard rank > 0, shape.count >= 2, down.info.count == rank * shape.dropFirst().reduce(1, *) else { throw refuse(down, "'\(weightName)' \(shape)") }
            guard u.shape.count >= 2, u.shape[0] == shape[0], u.shape.reduce(1, *) == shape[0] * rank else { throw refuse(up, "'\(weightName)' \(shape) at rank \(rank)") }
            let factor = try adapter.factor(name, module, rank: rank)
            if module.alpha == nil { biasFactor = factor }
            weights[weightName]?.changes.append(.lowRank(up: u, down: down, factor: factor))
        case (nil, nil): break
        case (let one, let other):
            guard let found = one ?? other else { break }
            throw WeightError(path: adapter.path, "LoRA key '\(found.info.name)' lacks the other half of its pair")
        }
        if let difference = module.difference.map(rows) {
            guard difference.shape.reduce(1, *) == shape.reduce(1, *) else { throw refuse(difference, "'\(weightName)' \(shape)") }
            weights[weightName]?.changes.append(.difference(difference, factor: adapter.weight))
        }
        for (bias, factor) in [(module.biasDifference, adapter.weight), (module.upBias, biasFactor)] {
            guard let bias = bias.map(rows) else { continue }
            guard let own = weights[target + ".bias"]?.shape else { throw refuse(bias, "'\(target)', which has no bias") }
            guard bias.shape.reduce(1, *) == own.reduce(1, *) else { throw refuse(bias, "'\(target).bias' \(own)") }
            weights[target + ".bias"]?.changes.append(.difference(bias, factor: factor))
        }
    }
}
