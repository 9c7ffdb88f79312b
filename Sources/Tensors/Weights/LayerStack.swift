/// The layers of a deep network: as many as the weight store's limit allows stay in memory, the others are built from the mapped files each
/// time they are needed.
///
///     for index in 0..<stack.count {
///         stack.prefetch(index + 1)
///         x = try stack[index](x)
///     }
public struct LayerStack<Layer: Sendable>: Sendable {
    private let resident: [Layer]
    public let count: Int
    private let weights: WeightStore
    private let prefixes: @Sendable (Int) -> [String]
    private let build: @Sendable (WeightScope, Int) -> Layer

    /// Whether all layers stay in memory.
    public var isResident: Bool { resident.count == count }

    /// Builds every layer once, so that all of their tensors are checked; layers that the files have nothing of are reported and not built.
    /// Of those that do not stay, names and shapes are checked here and the numbers when they are first used: so each is read from disk once.
    ///
    /// - Parameters:
    ///   - prefixes: Under which the tensors of a layer stand.
    ///   - build: Makes a layer of tensors of the scope, which is the root of `weights`.
    public init(
        _ weights: WeightStore, count: Int, prefixes: @escaping @Sendable (Int) -> [String],
        build: @escaping @Sendable (WeightScope, Int) -> Layer
    ) {
        weights.count(readIsResident: true)
        let sizes = (0..<count).map { weights.byteCount(under: prefixes($0)) }
        let largest = sizes.max() ?? 0
        let isAll = weights.reserve(sizes.reduce(0, +), spare: 0)
        let isRoom = isAll || weights.checkRoom(forLayerOf: largest)
        var outline = weights.root
        outline.isOutline = true
        var resident: [Layer] = []
        var isFull = false
        for index in 0..<count where sizes[index] > 0 && isRoom {
            // The layers first in line stay: with any other rule the next pass would find none of those it begins with.
            isFull = !isAll && (isFull || !weights.reserve(sizes[index], spare: largest))
            let known = weights.problems.count
            let layer = build(isFull ? outline : weights.root, index)
            // One with a mistake nobody will use: it need not take memory until all are told.
            if !isFull, weights.problems.count == known { resident.append(layer) }
        }
        let missing = sizes.indices.filter { sizes[$0] == 0 }
        if let first = missing.first {
            let names = prefixes(first).joined(separator: ", ")
            weights.report("all tensors of '\(names)' are missing\(missing.count > 1 ? ", and those of \(missing.count - 1) layers after it" : "")")
        }
        if !isRoom {
            let names = (0..<count).flatMap(prefixes)
            weights.ignore { name in names.contains { name.hasPrefix($0 + ".") } }
        }
        weights.count(readIsResident: false)
        self.resident = resident
        self.count = count
        self.weights = weights
        self.prefixes = prefixes
        self.build = build
    }

    /// A layer, read from the files if it is not in memory.
    ///
    /// - Throws: ``WeightError`` when its tensors cannot be read or hold NaN or infinity.
    public subscript(index: Int) -> Layer {
        get throws {
            if index < resident.count { return resident[index] }
            let known = weights.problems.count
            let layer = build(weights.root, index)
            try weights.refuse(Array(weights.problems.dropFirst(known)))
            return layer
        }
    }

    /// Has a layer that is not in memory read from disk meanwhile.
    public func prefetch(_ index: Int) {
        if index >= resident.count, index < count { weights.prefetch(under: prefixes(index)) }
    }
}
