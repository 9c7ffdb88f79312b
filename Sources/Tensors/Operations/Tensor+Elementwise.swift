import CKernels

/// Elements handed to one thread at a time in loops over all elements.
private let piece = 1 << 15

extension Tensor {
    private func mapped(
        _ kernel: @escaping @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void
    ) -> Tensor {
        let source = Shared(pointer)
        return withExtendedLifetime(storage) {
            Tensor.filled(shape) { out in
                Parallel.forEachRange(count: count, length: piece) {
                    kernel(out.pointer + $0.lowerBound, source.pointer + $0.lowerBound, $0.count)
                }
            }
        }
    }

    /// x·σ(x).
    public func silu() -> Tensor { mapped { us_silu($0, $1, $2) } }
    /// GELU by the tanh formula.
    public func geluTanh() -> Tensor { mapped { us_gelu_tanh($0, $1, $2) } }
    /// GELU by the error function.
    public func gelu() -> Tensor { mapped { us_gelu_exact($0, $1, $2) } }
    public func exp() -> Tensor { mapped { us_exp($0, $1, $2) } }
    public func tanh() -> Tensor { mapped { us_tanh($0, $1, $2) } }
    /// max(x, 0).
    public func relu() -> Tensor { mapped { us_leaky_relu($0, $1, 0, $2) } }
    public func leakyReLU(slope: Float) -> Tensor { mapped { us_leaky_relu($0, $1, slope, $2) } }
    public func clamped(_ range: ClosedRange<Float>) -> Tensor {
        mapped { us_clamp($0, $1, range.lowerBound, range.upperBound, $2) }
    }
    /// x·scale + offset.
    public func affine(scale: Float, offset: Float = 0) -> Tensor { mapped { us_affine($0, $1, scale, offset, $2) } }
    /// Every element through a function; slow, for small tensors.
    public func map(_ function: (Float) -> Float) -> Tensor {
        withUnsafeBuffer { source in
            Tensor(shape) { target in
                for index in source.indices { target.initializeElement(at: index, to: function(source[index])) }
            }
        }
    }

    /// The sum of all elements, in double precision.
    public func sum() -> Double { withExtendedLifetime(storage) { us_sum(pointer, count) } }

    /// The mean over one dimension, which disappears.
    public func mean(_ dimension: Int) -> Tensor {
        let dimension = axis(dimension)
        let outer = shape[..<dimension].reduce(1, *), inner = shape[(dimension + 1)...].reduce(1, *)
        let length = shape[dimension]
        var sizes = shape
        sizes.remove(at: dimension)
        return withExtendedLifetime(storage) {
            Tensor(sizes) { target in
                target.initialize(repeating: 0)
                guard let out = target.baseAddress, length > 0 else { return }
                for row in 0..<outer {
                    for index in 0..<length {
                        us_axpy(out + row * inner, pointer + (row * length + index) * inner, 1, inner)
                    }
                }
                us_affine(out, out, 1 / Float(length), 0, target.count)
            }
        }
    }

    /// self + y·factor in one pass; the factor has one row of the last dimension's size, or one for each of equal stretches of rows.
    public func adding(_ y: Tensor, times factor: Tensor) -> Tensor {
        let width = shape.last ?? 1
        guard width > 0, count > 0 else { return self }
        precondition(y.count == count, "shapes \(shape) and \(y.shape) do not add")
        let rows = count / width, stretch = Self.stretch(rows: rows, width: width, factor)
        let source = Shared((pointer, y.pointer, factor.pointer))
        return withExtendedLifetime((storage, y, factor)) {
            Tensor.filled(shape) { out in
                Parallel.forEachRange(count: rows, length: max(1, piece / width)) { range in
                    for row in range {
                        us_add_product(
                            out.pointer + row * width, source.pointer.0 + row * width, source.pointer.1 + row * width,
                            source.pointer.2 + row / stretch * width, width)
                    }
                }
            }
        }
    }

    public static func + (a: Tensor, b: Tensor) -> Tensor { combined(a, b) { us_add($0, $1, $2, $3, $4, $5) } }
    public static func - (a: Tensor, b: Tensor) -> Tensor { combined(a, b) { us_subtract($0, $1, $2, $3, $4, $5) } }
    public static func * (a: Tensor, b: Tensor) -> Tensor { combined(a, b) { us_multiply($0, $1, $2, $3, $4, $5) } }
    public static func / (a: Tensor, b: Tensor) -> Tensor { combined(a, b) { us_divide($0, $1, $2, $3, $4, $5) } }
    public static func + (a: Tensor, b: Float) -> Tensor { a.affine(scale: 1, offset: b) }
    public static func - (a: Tensor, b: Float) -> Tensor { a.affine(scale: 1, offset: -b) }
    public static func * (a: Tensor, b: Float) -> Tensor { a.affine(scale: b) }
    public static func / (a: Tensor, b: Float) -> Tensor { a.affine(scale: 1 / b) }
    public static prefix func - (a: Tensor) -> Tensor { a.affine(scale: -1) }
    /// In place where nobody else holds the memory.
    public static func += (a: inout Tensor, b: Tensor) {
        guard a.shape == b.shape, isKnownUniquelyReferenced(&a.storage) else { return a = a + b }
        a.storage.derived.withLock { $0 = [] }
        let left = Shared(a.storage.base), right = Shared(b.pointer)
        withExtendedLifetime((a.storage, b.storage)) {
            Parallel.forEachRange(count: a.count, length: piece) {
                us_add(
                    left.pointer + $0.lowerBound, left.pointer + $0.lowerBound, right.pointer + $0.lowerBound, $0.count, 1, 1)
            }
        }
    }
    public static func *= (a: inout Tensor, b: Tensor) { a = a * b }

    private typealias Kernel = @Sendable (
        UnsafeMutablePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int, Int, Int
    ) -> Void

    /// The shape two tensors broadcast to: sizes match from the end, 1 stretches.
    static func broadcastShape(_ a: [Int], _ b: [Int]) -> [Int] {
        let rank = max(a.count, b.count)
        return (0..<rank).map { d in
            let p = d - (rank - a.count), q = d - (rank - b.count)
            let m = p >= 0 ? a[p] : 1, n = q >= 0 ? b[q] : 1
            precondition(m == n || m == 1 || n == 1, "shapes \(a) and \(b) do not broadcast")
            return m == 1 ? n : m
        }
    }

    private static func combined(_ a: Tensor, _ b: Tensor, _ kernel: @escaping Kernel) -> Tensor {
        let shape = a.shape == b.shape ? a.shape : broadcastShape(a.shape, b.shape)
        let left = Shared(a.pointer), right = Shared(b.pointer)
        return withExtendedLifetime((a.storage, b.storage)) {
            filled(shape) { out in
                if a.shape == b.shape {
                    Parallel.forEachRange(count: a.count, length: piece) {
                        let start = $0.lowerBound
                        kernel(out.pointer + start, left.pointer + start, right.pointer + start, $0.count, 1, 1)
                    }
                } else {
                    rows(shape, a, b) { start, aStart, bStart, length, aStep, bStep in
                        kernel(out.pointer + start, left.pointer + aStart, right.pointer + bStart, length, aStep, bStep)
                    }
                }
            }
        }
    }

    /// Walks two broadcast tensors in rows that are contiguous or constant in both.
    private static func rows(
        _ shape: [Int], _ a: Tensor, _ b: Tensor, _ body: @escaping @Sendable (Int, Int, Int, Int, Int, Int) -> Void
    ) {
        var dims: [(size: Int, a: Int, b: Int)] = []
        for (size, steps) in zip(shape, zip(a.broadcastStrides(to: shape), b.broadcastStrides(to: shape)))
        where size != 1 {
            if let last = dims.last, last.a == steps.0 * size, last.b == steps.1 * size {
                dims[dims.count - 1] = (last.size * size, steps.0, steps.1)
            } else {
                dims.append((size, steps.0, steps.1))
            }
        }
        guard shape.allSatisfy({ $0 > 0 }) else { return }
        let row = dims.popLast() ?? (1, 0, 0)
        let outer = dims
        let rowCount = outer.reduce(1) { $0 * $1.size }
        Parallel.forEachRange(count: rowCount, length: max(1, piece / row.size)) { range in
            for index in range {
                var rest = index, aStart = 0, bStart = 0
                for dim in outer.reversed() {
                    let position = rest % dim.size
                    rest /= dim.size
                    aStart += position * dim.a
                    bStart += position * dim.b
                }
                body(index * row.size, aStart, bStart, row.size, row.a, row.b)
            }
        }
    }
}
