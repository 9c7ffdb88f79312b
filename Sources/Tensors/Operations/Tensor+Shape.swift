import CKernels

extension Tensor {
    /// The same elements under another shape; one size may be −1 and is worked out. No copy.
    public func reshaped(_ sizes: Int...) -> Tensor { reshaped(sizes) }

    /// The same elements under another shape; one size may be −1 and is worked out. No copy.
    public func reshaped(_ sizes: [Int]) -> Tensor {
        var sizes = sizes
        if let open = sizes.firstIndex(of: -1) {
            let rest = sizes.enumerated().filter { $0.offset != open }.reduce(1) { $0 * $1.element }
            precondition(rest > 0 && count % rest == 0, "shape \(shape) cannot become \(sizes)")
            sizes[open] = count / rest
        }
        precondition(sizes.reduce(1, *) == count, "shape \(shape) cannot become \(sizes)")
        return Tensor(shape: sizes, storage: storage)
    }

    /// Joins neighbouring dimensions into one. No copy.
    public func flattened(_ dimensions: ClosedRange<Int>) -> Tensor {
        let merged = shape[dimensions].reduce(1, *)
        return reshaped(Array(shape[..<dimensions.lowerBound]) + [merged] + Array(shape[(dimensions.upperBound + 1)...]))
    }

    /// Inserts a dimension of size 1. No copy.
    public func unsqueezed(_ dimension: Int) -> Tensor {
        var sizes = shape
        sizes.insert(1, at: dimension < 0 ? dimension + rank + 1 : dimension)
        return reshaped(sizes)
    }

    /// Drops a dimension of size 1. No copy.
    public func squeezed(_ dimension: Int) -> Tensor {
        let dimension = axis(dimension)
        precondition(shape[dimension] == 1, "dimension \(dimension) of shape \(shape) is not 1")
        var sizes = shape
        sizes.remove(at: dimension)
        return reshaped(sizes)
    }

    /// Elements between neighbours along each dimension.
    var strides: [Int] {
        var result = [Int](repeating: 1, count: rank)
        for d in stride(from: rank - 2, through: 0, by: -1) { result[d] = result[d + 1] * shape[d + 1] }
        return result
    }

    /// Reorders dimensions: dimension `i` of the result is dimension `axes[i]` of this one.
    public func permuted(_ axes: Int...) -> Tensor {
        let axes = axes.map(axis)
        precondition(Set(axes).count == rank, "permutation \(axes) of shape \(shape)")
        return gathered(axes.map { shape[$0] }, strides: axes.map { strides[$0] })
    }

    /// Swaps the last two dimensions.
    public var transposed: Tensor {
        precondition(rank >= 2, "a tensor of shape \(shape) has no two last dimensions")
        var axes = Array(0..<rank)
        axes.swapAt(rank - 1, rank - 2)
        return gathered(axes.map { shape[$0] }, strides: axes.map { strides[$0] })
    }

    /// Repeats along dimensions of size 1 (and missing leading ones) up to the given shape.
    public func broadcast(to target: [Int]) -> Tensor {
        if target == shape { return self }
        return gathered(target, strides: broadcastStrides(to: target))
    }

    func broadcastStrides(to target: [Int]) -> [Int] {
        precondition(target.count >= rank, "shape \(shape) does not broadcast to \(target)")
        let missing = target.count - rank
        let own = strides
        return target.indices.map { d in
            guard d >= missing else { return 0 }
            let size = shape[d - missing]
            precondition(size == target[d] || size == 1, "shape \(shape) does not broadcast to \(target)")
            return size == 1 ? 0 : own[d - missing]
        }
    }

    /// A copy whose element at (i₀, i₁, …) is this one's at Σ iₖ·strides[k].
    private func gathered(_ sizes: [Int], strides: [Int]) -> Tensor {
        // Dimensions that lie behind each other in the source as in the result count as one.
        var merged: [(size: Int, step: Int)] = []
        for (size, step) in zip(sizes, strides) where size != 1 {
            if let last = merged.last, last.step == step * size, step != 0 || last.step == 0 {
                merged[merged.count - 1] = (last.size * size, step)
            } else {
                merged.append((size, step))
            }
        }
        if merged.isEmpty { merged = [(1, 1)] }
        precondition(merged.count <= 8, "more than eight dimensions")
        let source = Shared(pointer)
        let total = sizes.reduce(1, *)
        if total == 0 { return Tensor(zeros: sizes) }
        return withExtendedLifetime(storage) {
            Tensor.filled(sizes) { out in
                let outer = merged[0]
                let inner = total / outer.size
                let rows = max(1, (1 << 16) / max(inner, 1))
                let tail = merged.dropFirst()
                Parallel.forEachRange(count: outer.size, length: rows) { range in
                    let shape = [range.count] + tail.map(\.size)
                    let steps = [outer.step] + tail.map(\.step)
                    us_gather(
                        out.pointer + range.lowerBound * inner, source.pointer + range.lowerBound * outer.step,
                        Int32(shape.count), shape, steps)
                }
            }
        }
    }

    /// A stretch of one dimension, copied.
    public func sliced(_ dimension: Int, _ range: Range<Int>) -> Tensor {
        let dimension = axis(dimension)
        precondition(
            range.lowerBound >= 0 && range.upperBound <= shape[dimension],
            "slice \(range) of dimension \(dimension) in shape \(shape)")
        if range == 0..<shape[dimension] { return self }
        let outer = shape[..<dimension].reduce(1, *), inner = shape[(dimension + 1)...].reduce(1, *)
        var sizes = shape
        sizes[dimension] = range.count
        return withExtendedLifetime(storage) {
            Tensor(sizes) { target in
                guard let out = target.baseAddress, !target.isEmpty else { return }
                let length = range.count * inner
                for row in 0..<outer {
                    (out + row * length).update(
                        from: pointer + (row * shape[dimension] + range.lowerBound) * inner, count: length)
                }
            }
        }
    }

    /// One element of a dimension, which disappears.
    public func selected(_ dimension: Int, _ index: Int) -> Tensor {
        sliced(dimension, index..<(index + 1)).squeezed(dimension)
    }

    /// Cuts a dimension into equal pieces.
    public func chunked(_ pieces: Int, _ dimension: Int) -> [Tensor] {
        let dimension = axis(dimension)
        precondition(
            pieces > 0 && shape[dimension] % pieces == 0,
            "dimension \(dimension) of shape \(shape) is no multiple of \(pieces)")
        let length = shape[dimension] / pieces
        return (0..<pieces).map { sliced(dimension, ($0 * length)..<(($0 + 1) * length)) }
    }

    /// Joins tensors along a dimension; all other sizes are equal.
    public static func concatenated(_ tensors: [Tensor], _ dimension: Int) -> Tensor {
        guard let first = tensors.first else { preconditionFailure("no tensors to join") }
        if tensors.count == 1 { return first }
        let dimension = first.axis(dimension)
        var sizes = first.shape
        sizes[dimension] = 0
        for tensor in tensors {
            var other = tensor.shape
            precondition(other.count == sizes.count, "shapes \(first.shape) and \(tensor.shape) do not join")
            sizes[dimension] += other[dimension]
            other[dimension] = first.shape[dimension]
            precondition(
                other == first.shape, "shapes \(first.shape) and \(tensor.shape) do not join along dimension \(dimension)")
        }
        let outer = sizes[..<dimension].reduce(1, *), inner = sizes[(dimension + 1)...].reduce(1, *)
        return Tensor(sizes) { target in
            guard var out = target.baseAddress, !target.isEmpty else { return }
            for row in 0..<outer {
                for tensor in tensors {
                    let length = tensor.shape[dimension] * inner
                    out.update(from: tensor.pointer + row * length, count: length)
                    out += length
                }
            }
        }
    }

    /// Stacks tensors of one shape along a new leading dimension.
    public static func stacked(_ tensors: [Tensor]) -> Tensor {
        concatenated(tensors.map { $0.unsqueezed(0) }, 0)
    }

    /// How a tensor goes on beyond its border.
    public enum Border: Sendable {
        case zeros
        /// The outermost element again.
        case replicated
    }

    /// Adds elements before and after a dimension.
    public func padded(_ dimension: Int, before: Int = 0, after: Int = 0, _ border: Border = .zeros) -> Tensor {
        precondition(before >= 0 && after >= 0, "padding of \(before) and \(after)")
        let dimension = axis(dimension)
        func edge(_ length: Int, _ index: Int) -> [Tensor] {
            guard length > 0 else { return [] }
            var sizes = shape
            sizes[dimension] = length
            switch border {
            case .zeros: return [Tensor(zeros: sizes)]
            case .replicated: return [sliced(dimension, index..<(index + 1)).broadcast(to: sizes)]
            }
        }
        return Tensor.concatenated(edge(before, 0) + [self] + edge(after, shape[dimension] - 1), dimension)
    }

    /// Repeats every element of a dimension `times` times, neighbours staying together.
    public func repeatedInterleaved(_ times: Int, _ dimension: Int) -> Tensor {
        let dimension = axis(dimension)
        var sizes = shape
        sizes.insert(times, at: dimension + 1)
        var result = shape
        result[dimension] *= times
        return unsqueezed(dimension + 1).broadcast(to: sizes).reshaped(result)
    }
}
