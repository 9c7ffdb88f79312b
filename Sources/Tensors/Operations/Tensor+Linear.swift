import CKernels

extension Tensor {
    /// A linear layer, x·Wᵀ + b, in single precision.
    ///
    /// - Parameters:
    ///   - weight: `[out, in]`.
    ///   - bias: `[out]`.
    /// - Returns: `[…, out]` for self `[…, in]`.
    public func linear(_ weight: Tensor, _ bias: Tensor? = nil) -> Tensor { linear(LinearWeight(weight), bias) }

    /// A linear layer with what follows it, activation(x·Wᵀ + b), then residual + gate·that where they are given.
    ///
    /// - Parameters:
    ///   - weight: `[out, in]`.
    ///   - bias: `[out]`.
    ///   - residual: Added to the result, `[…, out]`.
    ///   - gate: Multiplies what is added to the residual: one row of `out` elements, or one for each of equal stretches of rows.
    /// - Returns: `[…, out]` for self `[…, in]`.
    public func linear(
        _ weight: LinearWeight, _ bias: Tensor? = nil, _ activation: LinearActivation = .none, addedTo residual: Tensor? = nil,
        gate: Tensor? = nil
    ) -> Tensor {
        linear(weight, bias, activation, addedTo: residual, gate: gate, level: nil)
    }

    /// As the public form, with the kernels of one instruction set, for comparison.
    func linear(
        _ weight: LinearWeight, _ bias: Tensor? = nil, _ activation: LinearActivation = .none, addedTo residual: Tensor? = nil,
        gate: Tensor? = nil, level: us_level?
    ) -> Tensor {
        let (n, k) = (weight.shape[0], weight.shape[1])
        precondition(
            rank >= 1 && shape[rank - 1] == k, "a linear layer with weight \(weight.shape) cannot take input \(shape)")
        precondition(bias.map { $0.shape == [n] } ?? true, "a bias of shape [\(n)] is needed, not \(bias?.shape ?? [])")
        let m = shape.dropLast().reduce(1, *)
        precondition(
            residual.map { $0.count == m * n } ?? (gate == nil), "a result of \(m) × \(n) cannot be added to \(residual?.shape ?? [])")
        guard m > 0, n > 0 else { return Tensor(zeros: shape.dropLast() + [n]) }
        let gateRows = gate.map { Self.stretch(rows: m, width: n, $0) } ?? m

        let rounded = weight.precision == .int8 ? QuantizedRows(self) : nil
        let layer = Shared(weight.layer(bias, activation, level: level))
        let tasks = LinearTasks(m: m, n: n)
        return withExtendedLifetime((storage, weight, bias, residual, gate, rounded)) {
            Tensor.filled(shape.dropLast() + [n]) { out in
                let rows = Shared(
                    us_linear_rows(
                        values: pointer, bytes: rounded?.bytes, scales: rounded?.scales.base, residual: residual?.pointer,
                        gate: gate?.pointer, gate_rows: gateRows, out: out.pointer))
                Parallel.forEach(count: tasks.count) { index in
                    let (range, columns) = tasks[index]
                    withUnsafePointer(to: layer.pointer) { layer in
                        withUnsafePointer(to: rows.pointer) { rows in
                            WorkMemory.shared.lend(byteCount: us_linear_work_bytes()) {
                                us_linear_run(
                                    layer, rows, range.lowerBound, range.count, columns.lowerBound, columns.count, $0)
                            }
                        }
                    }
                }
            }
        }
    }

    /// How many of `rows` rows share one row of a factor that has one row of `width` elements, or one for each of equal stretches.
    static func stretch(rows: Int, width: Int, _ factor: Tensor) -> Int {
        let count = width > 0 ? factor.count / width : 0
        precondition(
            count > 0 && factor.count == count * width && rows % count == 0,
            "a factor of shape \(factor.shape) does not fit \(rows) rows of \(width)")
        return rows / count
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

/// How a linear layer is cut into tasks; a function of its size alone.
private struct LinearTasks {
    let m: Int, n: Int
    /// Rows and columns of a task: many rows share one packing of the weights.
    private let rows: Int, columns: Int
    private let across: Int
    let count: Int

    init(m: Int, n: Int) {
        self.m = m
        self.n = n
        rows = min(m, 960)
        // Narrow layers are cut finer, or threads would idle.
        columns = n <= 1024 ? 128 : Int(US_LINEAR_COLUMNS)
        across = (n + columns - 1) / columns
        count = across * ((m + rows - 1) / rows)
    }

    subscript(_ index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let row = index / across * rows, column = index % across * columns
        return (row..<min(row + rows, m), column..<min(column + columns, n))
    }
}

/// Rows rounded to 8 bits, one scale each.
private final class QuantizedRows {
    let bytes: UnsafePointer<Int8>
    let scales: TensorStorage
    private let memory: TensorStorage

    init(_ x: Tensor) {
        let width = x.shape[x.rank - 1], count = x.count / width
        memory = TensorStorage(uninitialized: (x.count + 3) / 4)
        scales = TensorStorage(uninitialized: count)
        let target = Shared((UnsafeMutableRawPointer(memory.base).assumingMemoryBound(to: Int8.self), scales.base))
        let source = Shared(x.pointer)
        Parallel.forEachRange(count: count, length: max(1, (1 << 15) / width)) {
            us_quantize_rows(
                target.pointer.0 + $0.lowerBound * width, target.pointer.1 + $0.lowerBound, nil,
                source.pointer + $0.lowerBound * width, $0.count, width)
        }
        bytes = UnsafePointer(target.pointer.0)
        withExtendedLifetime(x) {}
    }
}
