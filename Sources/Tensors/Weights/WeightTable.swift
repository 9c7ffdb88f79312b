/// A matrix of which few rows are needed, such as the embeddings of a vocabulary: rows are read from the mapped file when asked for.
public struct WeightTable: Sendable {
    private let weight: StoredWeight?
    private let shape: [Int]

    /// Checks the whole table once; misfits are reported by the store's `finish()`.
    public init(_ weights: WeightStore, _ name: String, shape: [Int]) {
        precondition(shape.count == 2, "a table has rows and columns, not shape \(shape)")
        self.shape = shape
        weight = weights.table(name, shape: shape)
    }

    /// `[rows, width]`, in the order asked for; indices lie below the number of rows.
    public func rows(_ indices: [Int]) -> Tensor {
        precondition(indices.allSatisfy { (0..<shape[0]).contains($0) }, "a row outside a table of \(shape[0])")
        guard let weight, !indices.isEmpty else { return Tensor(zeros: [indices.count, shape[1]]) }
        let parts = indices.compactMap { try? weight.rows($0..<($0 + 1)).load() }
        precondition(parts.count == indices.count, "a table that was checked can be read")
        return Tensor.concatenated(parts, 0)
    }
}

extension StoredWeight {
    /// Some rows of a matrix; adapters must not have changed it.
    func rows(_ range: Range<Int>) -> StoredWeight {
        let start = part.rows?.lowerBound ?? 0
        return StoredWeight(
            part: StoredPart(part.file, part.info, rows: (start + range.lowerBound)..<(start + range.upperBound)), scale: scale)
    }
}

extension WeightStore {
    /// A matrix for ``WeightTable``, checked in stretches; nil when it does not fit, which ``finish()`` then reports.
    func table(_ name: String, shape: [Int]) -> StoredWeight? {
        guard let weight = stored(name, shape: shape) else { return nil }
        guard weight.changes.isEmpty else {
            report("tensor '\(name)' is read by rows, so that no LoRA can change it")
            return nil
        }
        let stretch = max(1, (1 << 22) / max(1, shape[1]))
        for start in stride(from: 0, to: shape[0], by: stretch) {
            do {
                guard try weight.rows(start..<min(start + stretch, shape[0])).load().isFinite else {
                    report("tensor '\(name)' holds NaN or infinity; the file is damaged")
                    return nil
                }
            } catch {
                report("\(error)")
                return nil
            }
        }
        return weight
    }
}
