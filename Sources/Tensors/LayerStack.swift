/// The layers of a deep network: as many as the weight store's limit allows stay in memory, the others are built from the mapped files each
/// time they are needed.
///
///     for index in 0..<stack.count {
///         stack.prefetch(index + 1)
///         x = stack[index](x)
///     }
public struct LayerStack<Layer: Sendable>: Sendable {
    private let resident: [Layer]
    public let count: Int
    private let build: @Sendable (Int) -> Layer
    private let read: @Sendable (Int) -> Void

    /// Whether all layers stay in memory.
    public var isResident: Bool { resident.count == count }

    /// Builds every layer once, so that all of their tensors are checked; layers that the files have nothing of are reported and not built.
    ///
    /// - Parameters:
    ///   - prefixes: Under which the tensors of a layer stand.
    ///   - build: Makes a layer of tensors of `weights`.
    public init(
        _ weights: WeightStore, count: Int, prefixes: @escaping @Sendable (Int) -> [String], build: @escaping @Sendable (Int) -> Layer
    ) {
        weights.count(readIsResident: true)
        let sizes = (0..<count).map { weights.byteCount(under: prefixes($0)) }
        let largest = sizes.max() ?? 0
        let isAll = weights.reserve(sizes.reduce(0, +), spare: 0)
        let isRoom = isAll || weights.checkRoom(forLayerOf: largest)
        var resident: [Layer] = []
        var isFull = false
        for index in 0..<count where sizes[index] > 0 && isRoom {
            let problems = weights.problemCount
            let layer = build(index)
            guard weights.problemCount == problems else { continue }  // nobody will use it
            // The layers first in line stay: with any other rule the next pass would find none of those it begins with.
            if isAll || !isFull && weights.reserve(sizes[index], spare: largest) { resident.append(layer) } else { isFull = true }
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
        self.build = build
        read = { weights.prefetch(under: prefixes($0)) }
    }

    public subscript(index: Int) -> Layer { index < resident.count ? resident[index] : build(index) }

    /// Has a layer that is not in memory read from disk meanwhile.
    public func prefetch(_ index: Int) {
        if index >= resident.count, index < count { read(index) }
    }
}
