import Safetensors

/// Where the numbers of a weight lie: a tensor of a mapped file or some of its rows, the scale of an 8-bit one, and what adapters add.
struct StoredWeight: Sendable {
    let part: StoredPart
    /// What an 8-bit tensor is multiplied with.
    var scale: WeightScale?
    var changes: [WeightChange] = []

    var shape: [Int] { part.shape }
    var count: Int { shape.reduce(1, *) }

    /// The weight in single precision.
    ///
    /// - Throws: `SafetensorsError` when a tensor is of no floating type or the scale does not fit.
    func load() throws -> Tensor {
        var tensor = try part.load()
        if let scale { tensor = try scale.applied(to: tensor, of: part) }
        for change in changes { tensor += try change.delta(shape: shape) }
        part.release()
        return tensor
    }
}

/// A tensor of a file, or some of its rows.
struct StoredPart: StorageLender {
    let file: SafetensorsFile
    let info: TensorInfo
    var rows: Range<Int>?

    init(_ file: SafetensorsFile, _ info: TensorInfo, rows: Range<Int>? = nil) {
        self.file = file
        self.info = info
        self.rows = rows
    }

    var shape: [Int] { rows.map { [$0.count] + info.shape.dropFirst() } ?? info.shape }

    /// The numbers as they lie in the mapped file, if they are bf16 at an even address.
    var borrowed: TensorStorage? {
        let row = info.shape.dropFirst().reduce(1, *)
        let elements = rows.map { ($0.lowerBound * row)..<($0.upperBound * row) } ?? 0..<info.count
        guard info.dtype == .bf16, !elements.isEmpty else { return nil }
        return file.withBytes(info) { bytes in
            guard let base = bytes.baseAddress, Int(bitPattern: base) % 2 == 0 else { return nil }
            return TensorStorage(borrowing: base + 2 * elements.lowerBound, byteCount: 2 * elements.count, from: self)
        }
    }

    /// - Parameter type: What the bytes stand for; nil: what the file says.
    func load(as type: DType? = nil) throws -> Tensor {
        let row = info.shape.dropFirst().reduce(1, *)
        let elements = rows.map { ($0.lowerBound * row)..<($0.upperBound * row) } ?? 0..<info.count
        return try Tensor(file, info, elements: elements, shape: shape, as: type)
    }

    /// The mapped pages need not stay in memory.
    func release() { file.file.dropResidentPages(file.fileRange(info)) }
    func prefetch() { file.file.prefetch(file.fileRange(info)) }
}

/// What an adapter adds to a weight.
enum WeightChange: Sendable {
    /// factor·(up·down): `[out, r]` by `[r, in …]`.
    case lowRank(up: StoredPart, down: StoredPart, factor: Float)
    /// factor·difference.
    case difference(StoredPart, factor: Float)

    /// The tensor of an adapter's file that holds NaN or infinity, if there is one.
    var damagedPart: StoredPart? {
        let parts = switch self {
        case .lowRank(let up, let down, _): [up, down]
        case .difference(let part, _): [part]
        }
        return parts.first { (try? $0.load().isFinite) == false }
    }

    func delta(shape: [Int]) throws -> Tensor {
        switch self {
        case .difference(let part, let factor): return try part.load().reshaped(shape) * factor
        case .lowRank(let up, let down, let factor):
            let (a, b) = (try down.load(), try up.load())
            let rank = a.shape[0]
            return (b.reshaped(-1, rank).matmul(a.reshaped(rank, -1)) * factor).reshaped(shape)
        }
    }
}
