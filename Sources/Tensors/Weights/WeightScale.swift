import Foundation
import Safetensors

/// What the numbers of a quantised weight are multiplied with: one number, one per row, or one per block of a matrix.
struct WeightScale: Sendable {
    let part: StoredPart
    /// Rows and columns of a block, if the configuration says.
    let block: [Int]?

    /// The endings of scales' names, in place of `.weight`: of ComfyUI and others, of compressed-tensors and ModelOpt, of DeepSeek (which in
    /// spite of its name is multiplied with, too).
    static let endings = [".scale_weight", ".weight_scale", ".weight_scale_inv"]

    /// Ends the name of what says in which format ComfyUI stores a weight, as JSON.
    static let formatEnding = ".comfy_quant"

    /// Refuses formats of ComfyUI that hold something else than 8-bit floats and scales in the order of the weight.
    ///
    /// - Throws: ``WeightError`` that names format and tensor.
    static func checkFormat(_ name: String, _ part: StoredPart, path: String) throws {
        struct Format: Decodable { var format: String? }
        guard part.info.range.count <= 1 << 16 else { return }
        let text = part.file.withBytes(part.info) { Data($0) }
        guard let format = (try? JSONDecoder().decode(Format.self, from: text))?.format, !["float8_e4m3fn", "float8_e5m2"].contains(format) else { return }
        throw WeightError(
            path: path, "tensor '\(name.dropLast(formatEnding.count)).weight' is stored as \(format); give the model in float8_e4m3fn, float8_e5m2, bf16, f16 or f32")
    }

    /// The block size of `quantization_config` in a network's configuration.
    ///
    /// - Throws: ``WeightError`` when it is none.
    static func block(in configuration: Data, path: String) throws -> [Int]? {
        let object = try? JSONSerialization.jsonObject(with: configuration) as? [String: Any]
        let found = (object?["quantization_config"] as? [String: Any])?["weight_block_size"]
        guard let found, !(found is NSNull) else { return nil }
        guard let block = found as? [Int], block.count == 2, block.allSatisfy({ $0 > 0 }) else {
            throw WeightError(path: path, "config.json: 'weight_block_size' is \(found); the rows and columns of a block expected, such as [128, 128]")
        }
        return block
    }

    /// A weight, which may be some rows of what is stored, times its scale.
    ///
    /// - Throws: `SafetensorsError` when it is not known what the scale's numbers belong to.
    func applied(to tensor: Tensor, of weight: StoredPart) throws -> Tensor {
        // Bytes beside 8-bit floats are powers of two, as the OCP's microscaling formats have them (MX 1.0, 5.3.1).
        let isMicroscaled = part.info.dtype == .u8 && [.f8e4m3, .f8e5m2].contains(weight.info.dtype)
        let values = try part.load(as: isMicroscaled ? .f8e8m0 : nil), whole = weight.info.shape
        if values.count == 1 { return tensor * values.reshaped([Int](repeating: 1, count: max(tensor.rank, 1))) }
        let rows = whole.first ?? 1, used = weight.rows ?? 0..<rows
        if values.count == rows, values.shape.first == rows {
            return tensor * values.reshaped(-1).sliced(0, used).reshaped([used.count] + [Int](repeating: 1, count: tensor.rank - 1))
        }
        guard whole.count == 2, values.rank == 2, let size = Self.blockSize(of: whole, grid: values.shape, block) else {
            throw SafetensorsError(
                .mismatch, path: part.file.file.path,
                "scale '\(part.info.name)' has shape \(part.info.shape) for '\(weight.info.name)' \(whole); one number, one for each of \(rows) rows, or one for each block "
                    + (block.map { "of \($0), which quantization_config names, " } ?? "of [128, 128] or of the size that quantization_config names ('weight_block_size') ") + "expected")
        }
        let width = whole[1], columns = values.shape[1], source = Shared(tensor.pointer), factors = Shared(values.pointer)
        let result = TensorStorage(uninitialized: tensor.count), target = Shared(result.base)
        withExtendedLifetime((tensor, values)) {
            Parallel.forEach(count: used.count) { row in
                let (x, y) = (source.pointer + row * width, target.pointer + row * width)
                let f = factors.pointer + (used.lowerBound + row) / size[0] * columns
                for column in 0..<width { y[column] = x[column] * f[column / size[1]] }
            }
        }
        return Tensor(shape: tensor.shape, storage: result)
    }

    /// The rows and columns of a block; nil if that is not certain. A block at the end of rows or columns may be smaller.
    private static func blockSize(of shape: [Int], grid: [Int], _ known: [Int]?) -> [Int]? {
        func fits(_ block: [Int]) -> Bool { zip(zip(shape, grid), block).allSatisfy { ($0.0 + $1 - 1) / $1 == $0.1 } }
        if let known { return fits(known) ? known : nil }
        if fits([128, 128]) { return [128, 128] }
        // Groups of each row's columns, which are all of one size.
        guard grid[0] == shape[0], grid[1] > 0, shape[1] % grid[1] == 0 else { return nil }
        return [1, shape[1] / grid[1]]
    }
}
