/// A view of a ``WeightStore`` under a prefix.
public struct WeightScope: Sendable {
    public let store: WeightStore
    public private(set) var prefix: String
    /// Whether convolutions multiply in single precision even where weights and frames are kept in bf16.
    public var multipliesExactly = false
    /// Whether only names and shapes are checked: tensors are zeros, and nothing is read.
    var isOutline = false

    /// A scope inside this one.
    public func scope(_ name: String) -> WeightScope {
        var inner = self
        inner.prefix = full(name)
        return inner
    }
    /// A numbered scope inside this one, `name.index`.
    public func scope(_ name: String, _ index: Int) -> WeightScope { scope("\(name).\(index)") }
    /// A tensor of the given shape; see ``WeightStore/tensor(_:shape:isOutline:)``.
    public func tensor(_ name: String, shape: [Int]) -> Tensor { store.tensor(full(name), shape: shape, isOutline: isOutline) }
    /// A matrix for a linear layer; see ``WeightStore/linearWeight(_:shape:_:isOutline:)``.
    ///
    /// - Parameter isLarge: Whether the layer takes the precision that the weights were opened with.
    public func linearWeight(_ name: String, shape: [Int], isLarge: Bool = true) -> LinearWeight {
        store.linearWeight(full(name), shape: shape, isLarge ? store.precision : .f32, isOutline: isOutline)
    }
    public func contains(_ name: String) -> Bool { store.contains(full(name)) }
    public func shape(_ name: String) -> [Int]? { store.shape(full(name)) }
    private func full(_ name: String) -> String { prefix.isEmpty ? name : "\(prefix).\(name)" }
}
