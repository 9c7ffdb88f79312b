import Foundation
import Tensors

/// Cosines and sines of the 3D rotary position embedding, `[tokens, headDim / 2]` each.
///
/// A head's channels split into time, height, width: height and width get `2·(d / 6)` each, time the rest. Pair k of an axis with
/// n channels turns by `position · theta^(−2k/n)`, computed in double precision.
struct RotaryTable: Sendable {
    let cosine, sine: Tensor

    /// - Parameters:
    ///   - frames: The time positions, in token order; negative ones stand for references.
    ///   - grid: Rows and columns of tokens per frame.
    ///   - origin: The position of the first row and column.
    init(
        frames: [Int], grid: (rows: Int, columns: Int), origin: (row: Int, column: Int) = (0, 0), headDim: Int, theta: Double
    ) {
        let side = 2 * (headDim / 6)
        func frequencies(_ channels: Int) -> [Double] {
            stride(from: 0, to: channels, by: 2).map { pow(theta, -Double($0) / Double(channels)) }
        }
        let time = frequencies(headDim - 2 * side)
        let space = frequencies(side)
        var angles: [Double] = []
        angles.reserveCapacity(frames.count * grid.rows * grid.columns * headDim / 2)
        for t in frames {
            for y in origin.row..<(origin.row + grid.rows) {
                for x in origin.column..<(origin.column + grid.columns) {
                    angles += time.map { Double(t) * $0 }
                    angles += space.map { Double(y) * $0 }
                    angles += space.map { Double(x) * $0 }
                }
            }
        }
        let shape = [frames.count * grid.rows * grid.columns, headDim / 2]
        cosine = Tensor(angles.map { Float(cos($0)) }, shape)
        sine = Tensor(angles.map { Float(sin($0)) }, shape)
    }

    private init(cosine: Tensor, sine: Tensor) {
        self.cosine = cosine
        self.sine = sine
    }

    /// This table's tokens, then the other's.
    func followed(by other: RotaryTable) -> RotaryTable {
        RotaryTable(
            cosine: Tensor.concatenated([cosine, other.cosine], 0), sine: Tensor.concatenated([sine, other.sine], 0))
    }
}
