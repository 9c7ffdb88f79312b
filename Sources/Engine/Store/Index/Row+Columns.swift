import Foundation
import GRDB
import NodeKit

/// What numbers of the index can be at all: one flipped bit makes others.
enum Sane {
    static let bytes: ClosedRange<Int64> = 0...(1 << 56)
    static let seconds = 0...1e11
    /// Seconds since 1970, to the end of the year 9999.
    static let time = 0...253_402_300_799.0
    /// Numbers of runs; SQLite gives none beyond the largest.
    static let run: ClosedRange<Int64> = 1...(1 << 53)
    static let index: ClosedRange<Int64> = -1...(1 << 40)
}

/// Columns of a row that may be damaged: what is of another kind than it should be, or cannot be, is nil. GRDB's own subscripts
/// would end the program.
extension Row {
    private func storage(_ column: String) -> DatabaseValue.Storage { (self[column] as DatabaseValue).storage }

    func isNull(_ column: String) -> Bool { if case .null = storage(column) { true } else { false } }
    func text(_ column: String) -> String? { if case .string(let text) = storage(column) { text } else { nil } }
    func blob(_ column: String) -> Data? { if case .blob(let bytes) = storage(column) { bytes } else { nil } }
    func digest(_ column: String) -> Digest? { text(column).flatMap(Digest.init(hex:)) }

    func integer(_ column: String, in range: ClosedRange<Int64> = .min ... .max) -> Int64? {
        guard case .int64(let number) = storage(column), range.contains(number) else { return nil }
        return number
    }

    func number(_ column: String, in range: ClosedRange<Double>) -> Double? {
        switch storage(column) {
        case .int64(let number) where range.contains(Double(number)): Double(number)
        case .double(let number) where range.contains(number): number
        default: nil
        }
    }

    /// What a column that may be NULL holds, as `read` says.
    ///
    /// - Returns: Nil when it is damaged.
    func optional<T>(_ column: String, _ read: (Row, String) -> T?) -> T?? {
        isNull(column) ? .some(nil) : read(self, column).map { .some($0) }
    }
}

extension Sequence<Int64> {
    /// The sum, or the largest number there is.
    package var clampedSum: Int64 {
        reduce(0) { sum, next in
            let (result, isOver) = sum.addingReportingOverflow(next)
            return isOver ? next < 0 ? .min : .max : result
        }
    }
}

extension ActionRecord.Output {
    /// Whether it can be what it says.
    var isSane: Bool { Sane.bytes.contains(bytes) && !suffix.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 } }
}

extension ActionRecord {
    /// Whether it can be what it says.
    var isSane: Bool {
        Sane.seconds.contains(seconds) && memory.map { Sane.bytes.contains($0.bytes) } ?? true && outputs.values.allSatisfy(\.isSane)
            && !node.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }

    /// Whether everything is there that a node gives, or a cut.
    ///
    /// - Parameter ports: The node's outputs; of a list there may be nothing.
    func isComplete(_ ports: [NodeDescription.Port]) -> Bool {
        ports.allSatisfy { $0.type.element != nil || outputs[$0.name] != nil } && (node != "cut" || outputs["value"] != nil)
    }
}
