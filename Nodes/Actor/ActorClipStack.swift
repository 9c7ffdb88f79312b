import Foundation
import NodeKit
import Safetensors

/// What takes tensors one after the other, piece by piece: an artifact or a plain safetensors file.
protocol TensorSink {
    func begin(_ name: String, dtype: DType, elementShape: [Int])
    func append(_ bytes: UnsafeRawBufferPointer) throws
}

extension ArtifactWriter: TensorSink {}
extension SafetensorsWriter: TensorSink {}

/// Stacks clips tensor by tensor: each tensor grows in a file of its own until all clips are there, so that memory holds a few
/// clips however many are made.
struct ActorClipStack {
    /// One tensor of the stack; `elementShape` is one clip's part, without zeros.
    struct Tensor {
        let name: String
        let dtype: DType
        let elementShape: [Int]
    }

    let folder: String
    let tensors: [Tensor]
    private let files: [FileHandle]

    /// - Parameters:
    ///   - folder: For the files, which are removed as they are handed on.
    ///   - tensors: In the order in which they are to be written.
    /// - Throws: ``NodeError`` when a file cannot be made.
    init(folder: String, tensors: [Tensor]) throws {
        self.folder = folder
        self.tensors = tensors
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        files = try tensors.map { tensor in
            let path = "\(folder)/\(tensor.name)"
            guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forUpdatingAtPath: path) else {
                throw NodeError("cannot write '\(path)'")
            }
            return file
        }
    }

    /// Lays one more clip on top.
    ///
    /// - Throws: When the disk is full.
    func append(_ clip: ActorDatasetWriter.Clip) throws {
        for (tensor, file) in zip(tensors, files) {
            if tensor.dtype == .u8 {
                try file.write(contentsOf: clip.bytes[tensor.name] ?? [])
            } else {
                try (clip.floats[tensor.name] ?? []).withUnsafeBytes { try file.write(contentsOf: Data($0)) }
            }
        }
    }

    /// Hands everything on, and empties the stack.
    func move(to sink: some TensorSink) throws {
        for (tensor, file) in zip(tensors, files) {
            sink.begin(tensor.name, dtype: tensor.dtype, elementShape: tensor.elementShape)
            let size = tensor.elementShape.reduce(tensor.dtype.byteCount, *)
            try file.seek(toOffset: 0)
            // Whole elements at a time, about a megabyte.
            let piece = size * max(1, (1 << 20) / size)
            while let bytes = try file.read(upToCount: piece), !bytes.isEmpty {
                try bytes.withUnsafeBytes { try sink.append($0) }
            }
            try file.close()
            try FileManager.default.removeItem(atPath: "\(folder)/\(tensor.name)")
        }
    }
}
