import CKernels

extension Tensor {
    /// A linear layer, x·Wᵀ + b.
    ///
    /// - Parameters:
    ///   - weight: `[out, in]`.
    ///   - bias: `[out]`.
    /// - Returns: `[…, out]` for self `[…, in]`.
    public func linear(_ weight: Tensor, _ bias: Tensor? = nil) -> Tensor {
        precondition(
            weight.rank == 2 && rank >= 1 && shape[rank - 1] == weight.shape[1],
            "a linear layer with weight \(weight.shape) cannot take input \(shape)")
        let k = weight.shape[1], n = weight.shape[0]
        precondition(bias.map { $0.shape == [n] } ?? true, "a bias of shape [\(n)] is needed, not \(bias?.shape ?? [])")
        let m = shape.dropLast().reduce(1, *)
        let tiles = ProductTiles(m: m, n: n)
        let x = Shared(pointer), w = Shared(weight.pointer), b = Shared(bias?.pointer)
        return withExtendedLifetime((storage, weight.storage, bias?.storage)) {
            Tensor.filled(shape.dropLast() + [n]) { out in
                Parallel.forEach(count: tiles.count) { index in
                    let (rows, columns) = tiles[index]
                    let target = out.pointer + rows.lowerBound * n + columns.lowerBound
                    BLAS.multiply(
                        m: rows.count, n: columns.count, k: k, x.pointer + rows.lowerBound * k, rowStride: k,
                        w.pointer + columns.lowerBound * k, rowStride: k, transposed: true, into: target, rowStride: n)
                    guard let bias = b.pointer else { return }
                    for row in 0..<rows.count {
                        let line = target + row * n
                        us_add(line, line, bias + columns.lowerBound, columns.count, 1, 1)
                    }
                }
            }
        }
    }

    /// The matrix product over the last two dimensions; leading ones are equal, or missing in `other`.
    ///
    /// - Returns: `[…, m, n]` for self `[…, m, k]` and other `[…, k, n]` (`[…, n, k]` if `transposed`).
    public func matmul(_ other: Tensor, transposed: Bool = false) -> Tensor {
        precondition(rank >= 2 && other.rank >= 2, "shapes \(shape) and \(other.shape) are not matrices")
        let m = shape[rank - 2], k = shape[rank - 1]
        let n = other.shape[other.rank - (transposed ? 2 : 1)]
        let inner = other.shape[other.rank - (transposed ? 1 : 2)]
        let batch = shape.dropLast(2).reduce(1, *)
        let isShared = other.rank == 2
        precondition(
            k == inner && (isShared || other.shape.dropLast(2) == shape.dropLast(2)),
            "shapes \(shape) and \(other.shape)\(transposed ? " transposed" : "") do not multiply")
        let tiles = ProductTiles(m: m, n: n)
        let a = Shared(pointer), b = Shared(other.pointer)
        return withExtendedLifetime((storage, other.storage)) {
            Tensor.filled(shape.dropLast() + [n]) { out in
                Parallel.forEach(count: batch * tiles.count) { index in
                    let item = index / tiles.count
                    let (rows, columns) = tiles[index % tiles.count]
                    let right = b.pointer + (isShared ? 0 : item * k * n)
                    BLAS.multiply(
                        m: rows.count, n: columns.count, k: k, a.pointer + (item * m + rows.lowerBound) * k, rowStride: k,
                        right + columns.lowerBound * (transposed ? k : 1), rowStride: transposed ? k : n,
                        transposed: transposed, into: out.pointer + (item * m + rows.lowerBound) * n + columns.lowerBound,
                        rowStride: n)
                }
            }
        }
    }
}
