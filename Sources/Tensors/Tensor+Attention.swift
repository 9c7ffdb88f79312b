import CKernels

/// Scaled dot-product attention, softmax(q·kᵀ·scale + bias)·v, head by head.
///
/// Scores exist only for 128 queries × 512 keys per thread at a time, so memory does not grow with the sequence.
///
/// - Parameters:
///   - q: `[…, queries, heads·width]`, heads next to each other in the last dimension.
///   - k: `[…, keys, heads·width]`.
///   - v: `[…, keys, heads·valueWidth]`.
///   - scale: 1/√width if not given.
///   - bias: Added to the scores, `[queries, keys]` or `[heads, queries, keys]`, the same for the whole batch; −∞ masks.
/// - Returns: `[…, queries, heads·valueWidth]`.
public func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int = 1, scale: Float? = nil, bias: Tensor? = nil
) -> Tensor {
    let shape = AttentionShape(q, k, v, heads: heads, bias: bias)
    let scale = scale ?? 1 / Float(shape.width).squareRoot()
    let tiles = (shape.queries + AttentionShape.tile - 1) / AttentionShape.tile
    let source = Shared((q: q.pointer, k: k.pointer, v: v.pointer, bias: bias?.pointer))
    return withExtendedLifetime((q, k, v, bias)) {
        Tensor.filled(q.shape.dropLast() + [heads * shape.valueWidth]) { out in
            Parallel.forEach(count: shape.batch * heads * tiles) { index in
                let start = index % tiles * AttentionShape.tile
                let (item, head) = (index / tiles / heads, index / tiles % heads)
                shape.attend(
                    item: item, head: head, queries: start..<min(start + AttentionShape.tile, shape.queries), scale: scale,
                    source.pointer.q, source.pointer.k, source.pointer.v, source.pointer.bias, into: out.pointer)
            }
        }
    }
}

private struct AttentionShape: Sendable {
    /// Queries and keys that are worked on at a time.
    static let tile = 128, block = 512

    let batch: Int, queries: Int, keys: Int, heads: Int, width: Int, valueWidth: Int
    let biasPerHead: Bool

    init(_ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, bias: Tensor?) {
        precondition(
            q.rank >= 2 && k.rank == q.rank && v.rank == q.rank && heads > 0
                && k.shape.dropLast(2) == q.shape.dropLast(2) && v.shape.dropLast() == k.shape.dropLast()
                && q.shape.last == k.shape.last,
            "attention cannot take q \(q.shape), k \(k.shape), v \(v.shape)")
        let total = q.shape[q.rank - 1], valueTotal = v.shape[v.rank - 1]
        precondition(total % heads == 0 && valueTotal % heads == 0, "\(total) channels do not split into \(heads) heads")
        batch = q.shape.dropLast(2).reduce(1, *)
        queries = q.shape[q.rank - 2]
        keys = k.shape[k.rank - 2]
        width = total / heads
        valueWidth = valueTotal / heads
        self.heads = heads
        biasPerHead = bias?.rank == 3
        if let bias {
            precondition(
                bias.shape == [queries, keys] || bias.shape == [heads, queries, keys],
                "attention over \(queries) queries and \(keys) keys cannot take a bias of shape \(bias.shape)")
        }
    }

    /// One tile of queries of one head against all keys, in blocks, with a running maximum.
    func attend(
        item: Int, head: Int, queries range: Range<Int>, scale: Float, _ q: UnsafePointer<Float>,
        _ k: UnsafePointer<Float>, _ v: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?,
        into out: UnsafeMutablePointer<Float>
    ) {
        let rows = range.count
        let rowStride = heads * width, valueStride = heads * valueWidth
        let query = q + (item * queries + range.lowerBound) * rowStride + head * width
        let target = out + (item * queries + range.lowerBound) * valueStride + head * valueWidth
        WorkMemory.shared.lendFloats(Self.tile * (Self.block + 2)) { work in
            let scores = work, maximum = work + Self.tile * Self.block, sum = maximum + Self.tile
            maximum.update(repeating: -3.0e38, count: rows)
            sum.update(repeating: 0, count: rows)
            for row in 0..<rows { (target + row * valueStride).update(repeating: 0, count: valueWidth) }
            for first in stride(from: 0, to: keys, by: Self.block) {
                let count = min(Self.block, keys - first)
                BLAS.multiply(
                    m: rows, n: count, k: width, alpha: scale, query, rowStride: rowStride,
                    k + (item * keys + first) * rowStride + head * width, rowStride: rowStride, transposed: true,
                    into: scores, rowStride: Self.block)
                if let bias {
                    for row in 0..<rows {
                        let line = scores + row * Self.block
                        let offset = ((biasPerHead ? head * queries : 0) + range.lowerBound + row) * keys + first
                        us_add(line, line, bias + offset, count, 1, 1)
                    }
                }
                us_softmax_step(scores, Self.block, rows, count, maximum, sum, target, valueStride, valueWidth)
                BLAS.multiply(
                    m: rows, n: valueWidth, k: count, scores, rowStride: Self.block,
                    v + (item * keys + first) * valueStride + head * valueWidth, rowStride: valueStride,
                    transposed: false, beta: 1, into: target, rowStride: valueStride)
            }
            for row in 0..<rows {
                let line = target + row * valueStride
                us_affine(line, line, 1 / sum[row], 0, valueWidth)
            }
        }
    }
}
