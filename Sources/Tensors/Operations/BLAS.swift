import COpenBLAS

/// Single-precision matrix products through OpenBLAS, on one thread: callers split the work themselves, by size alone.
enum BLAS {
    private static let start: Void = openblas_set_num_threads(1)

    /// C ← alpha·A·op(B) + beta·C for row-major matrices; A is [m, k], op(B) is [k, n], C is [m, n].
    static func multiply(
        m: Int, n: Int, k: Int, alpha: Float = 1, _ a: UnsafePointer<Float>, rowStride lda: Int,
        _ b: UnsafePointer<Float>, rowStride ldb: Int, transposed: Bool, beta: Float = 0,
        into c: UnsafeMutablePointer<Float>, rowStride ldc: Int
    ) {
        _ = start
        guard m > 0, n > 0 else { return }
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, numericCast(m), numericCast(n),
            numericCast(k), alpha, a, numericCast(max(lda, 1)), b, numericCast(max(ldb, 1)), beta, c,
            numericCast(max(ldc, 1)))
    }
}

/// How a matrix product is cut into pieces; a function of its size alone.
struct ProductTiles {
    let m: Int, n: Int
    let rows: Int, columns: Int
    private let across: Int
    let count: Int

    init(m: Int, n: Int) {
        self.m = m
        self.n = n
        rows = min(max(m, 1), 256)
        // Few rows: more columns per piece would leave threads idle; many: a wide piece packs less often.
        columns = m <= 256 ? 256 : 1024
        across = (n + columns - 1) / columns
        count = across * ((m + rows - 1) / rows)
    }

    subscript(_ index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let row = index / across * rows, column = index % across * columns
        return (row..<min(row + rows, m), column..<min(column + columns, n))
    }
}
