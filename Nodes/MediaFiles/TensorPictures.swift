import NodeKit
import Safetensors

/// Pictures in a safetensors file: bytes `[frames, height, width, channels]` or `[height, width, channels]`, of one channel (grey) or three.
struct TensorPictures {
    private let file: SafetensorsFile
    private let info: TensorInfo
    let count, height, width: Int
    private let channels: Int

    static func isOne(_ path: String) -> Bool { path.hasSuffix(".safetensors") }

    /// - Parameters:
    ///   - name: The tensor; nil: the only one that holds such pictures.
    ///   - rank: 4 for a clip, 3 for a picture.
    /// - Throws: ``NodeError`` when there is no such tensor.
    init(path: String, tensor name: String?, rank: Int) throws {
        file = try SafetensorsFile(path: path)
        func holdsPictures(_ info: TensorInfo) -> Bool {
            info.dtype == .u8 && info.shape.count == rank && [1, 3].contains(info.shape[rank - 1]) && info.count > 0
        }
        let what = rank == 4 ? "bytes [frames, height, width, 1 or 3]" : "bytes [height, width, 1 or 3]"
        if let name {
            info = try file.info(name)
            guard holdsPictures(info) else {
                throw NodeError("'\(path)': '\(name)' is \(info.dtype.rawValue) \(info.shape), \(what) expected")
            }
        } else {
            let found = file.tensors.values.filter(holdsPictures).sorted { $0.name < $1.name }
            guard let only = found.first, found.count == 1 else {
                throw NodeError(
                    "'\(path)' holds \(found.isEmpty ? "no" : "several") tensors of \(what)\(found.isEmpty ? "" : " (\(found.map(\.name).joined(separator: ", ")))"): say which by 'tensor'")
            }
            info = only
        }
        let shape = info.shape
        count = rank == 4 ? shape[0] : 1
        (height, width, channels) = (shape[rank - 3], shape[rank - 2], shape[rank - 1])
    }

    /// One picture as interleaved RGB bytes.
    func picture(_ index: Int) -> [UInt8] {
        let length = height * width * channels
        let bytes = file.withBytes(info) { [UInt8]($0[(index * length)..<((index + 1) * length)]) }
        return channels == 3 ? bytes : bytes.flatMap { [$0, $0, $0] }
    }
}
