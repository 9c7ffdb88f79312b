import CKernels

/// Scaled dot-product attention, softmax(q·kᵀ·scale + bias)·v, head by head.
///
/// Scores exist only for 96 queries × 128 keys per thread at a time, so memory does not grow with the square of the sequence. A query
/// that may see nothing (all its biases are −∞) gets zeros.
///
/// - Parameters:
///   - q: `[…, queries, heads·width]`, heads next to each other in the last dimension.
///   - k: `[…, keys, heads·width]`.
///   - v: `[…, keys, heads·valueWidth]`.
///   - scale: 1/√width if not given.
///   - bias: Added to the scores, `[queries, keys]` or `[heads, queries, keys]`, the same for the whole batch; −∞ masks.
///   - precision: Anything but f32 lets queries, keys, values and weights be rounded to bf16 where that is faster.
/// - Returns: `[…, queries, heads·valueWidth]`.
public func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int = 1, scale: Float? = nil, bias: Tensor? = nil, precision: Precision = .f32
) -> Tensor {
    attention(q, k, v, heads: heads, scale: scale, bias: bias, bf16: precision.roundsAttention, level: nil)
}

/// As the public form, with the kernels of one instruction set, for comparison.
func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, scale: Float? = nil, bias: Tensor? = nil, bf16: Bool, level: us_level?
) -> Tensor {
    let shape = AttentionShape(q, k, v, heads: heads, bias: bias)
    let common = shape.common(scale: scale ?? 1 / Float(shape.width).squareRoot(), bf16: bf16, level: level)
    let packing = AttentionPacking(shape, common)
    let source = Shared((q: q.pointer, k: k.pointer, v: v.pointer, bias: bias?.pointer))
    let tile = Int(US_ATTENTION_ROWS)
    let tiles = (shape.queries + tile - 1) / tile
    return withExtendedLifetime((q, k, v, bias)) {
        Tensor.filled(q.shape.dropLast() + [heads * shape.valueWidth]) { out in
            for group in packing.groups {
                packing.pack(group, source.pointer.k, source.pointer.v)
                Parallel.forEach(count: group.count * tiles) { index in
                    let first = index % tiles * tile
                    let part = group.lowerBound + index / tiles
                    let (item, head) = (part / heads, part % heads)
                    let packed = packing.memory(part - group.lowerBound)
                    var one = us_attention_head(
                        q: source.pointer.q + item * shape.queries * heads * shape.width + head * shape.width,
                        bias: source.pointer.bias.map { $0 + (shape.biasPerHead ? head * shape.queries * shape.keys : 0) },
                        packed_keys: packed.keys, packed_values: packed.values,
                        out: out.pointer + item * shape.queries * heads * shape.valueWidth + head * shape.valueWidth)
                    var common = common
                    WorkMemory.shared.lend(byteCount: packing.workByteCount) {
                        us_attention_run(&common, &one, first, min(tile, shape.queries - first), $0)
                    }
                }
            }
        }
    }
}

private struct AttentionShape: Sendable {
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

    func common(scale: Float, bf16: Bool, level: us_level?) -> us_attention {
        us_attention(
            keys: keys, width: width, value_width: valueWidth, q_stride: heads * width, k_stride: heads * width,
            v_stride: heads * valueWidth, out_stride: heads * valueWidth, scale: scale, bf16: bf16,
            level: level.map { Int32($0.rawValue) } ?? -1)
    }
}

/// Keys and values in the kernels' order, for as many heads at a time as a fixed budget holds.
private final class AttentionPacking: @unchecked Sendable {
    private static let budget = 256 << 20

    let groups: [Range<Int>]
    let workByteCount: Int
    private let shape: AttentionShape
    private let common: us_attention
    private let blocks: Int
    private let keyBytes: Int, valueBytes: Int
    private let storage: TensorStorage

    /// `@unchecked Sendable`: each block of the memory is written by one piece of one loop, and read by the next loop.
    init(_ shape: AttentionShape, _ common: us_attention) {
        self.shape = shape
        self.common = common
        var common = common
        blocks = us_attention_blocks(&common)
        keyBytes = (us_attention_key_bytes(&common) + 63) / 64 * 64
        valueBytes = (us_attention_value_bytes(&common) + 63) / 64 * 64
        workByteCount = us_attention_work_bytes(&common)
        let parts = shape.batch * shape.heads
        let length = min(max(1, Self.budget / max(keyBytes + valueBytes, 1)), max(parts, 1))
        groups = stride(from: 0, to: parts, by: length).map { $0..<min($0 + length, parts) }
        storage = TensorStorage(uninitialized: length * (keyBytes + valueBytes) / 4)
    }

    func memory(_ slot: Int) -> (keys: UnsafeMutableRawPointer, values: UnsafeMutableRawPointer) {
        let keys = UnsafeMutableRawPointer(storage.base) + slot * (keyBytes + valueBytes)
        return (keys, keys + keyBytes)
    }

    func pack(_ group: Range<Int>, _ k: UnsafePointer<Float>, _ v: UnsafePointer<Float>) {
        let source = Shared((k, v))
        Parallel.forEach(count: group.count * blocks) { [self] index in
            let slot = index / blocks
            let (item, head) = ((group.lowerBound + slot) / shape.heads, (group.lowerBound + slot) % shape.heads)
            let target = memory(slot)
            var common = common
            us_attention_pack(
                &common, source.pointer.0 + item * shape.keys * shape.heads * shape.width + head * shape.width,
                source.pointer.1 + item * shape.keys * shape.heads * shape.valueWidth + head * shape.valueWidth, index % blocks,
                target.keys, target.values)
        }
    }
}
