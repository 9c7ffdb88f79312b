import Foundation
import Safetensors
import Tensors

/// Pictures and clips as the networks take them, of bytes: what happens before a network, evaluated like one.
public enum PreprocessingEvaluation {
    /// The outputs of a folder that holds no network but settings of preprocessing: those of CLIP (`preprocessor_config.json`), or a
    /// `config.json` with `height`, `width` and `motion_encoder_size`, for which Wan-Animate prepares its inputs. Nil for other folders.
    static func evaluate(_ path: String, _ inputs: SafetensorsFile) throws -> [String: Tensor]? {
        func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/\(name)") }
        if !exists("config.json"), exists("preprocessor_config.json") { return try clip(path, inputs) }
        guard let canvas = wanAnimateCanvas(path) else { return nil }
        guard [canvas.width, canvas.height, canvas.motion_encoder_size].allSatisfy({ (1...16_384).contains($0) }) else {
            throw WeightError(path: "\(path)/config.json", "height, width and motion_encoder_size must be within 1 … 16384")
        }
        return try wanAnimate(canvas, inputs)
    }

    /// The sizes, in pixels, that Wan-Animate's inputs are prepared for: of the film, and of the square around the face.
    public struct Canvas: Decodable, Sendable {
        public var width, height, motion_encoder_size: Int
        var _class_name: String?
        var architectures: [String]?
    }

    /// What the `config.json` of a folder of Wan-Animate's preprocessing says; nil for other folders.
    public static func wanAnimateCanvas(_ path: String) -> Canvas? {
        guard let config = FileManager.default.contents(atPath: "\(path)/config.json"),
            let canvas = try? JSONDecoder().decode(Canvas.self, text: config), canvas._class_name == nil, canvas.architectures == nil
        else { return nil }
        return canvas
    }

    /// Frames of bytes `[height, width, channels]`.
    private struct Pictures {
        let frames: [[UInt8]]
        let width, height: Int

        init(_ file: SafetensorsFile, _ name: String, rank: Int, channels: Int) throws {
            let info = try file.info(name)
            guard info.shape.count == rank, info.shape[rank - 1] == channels, info.count > 0 else {
                throw SafetensorsError(.mismatch, path: file.file.path, "'\(name)' is \(info.shape), bytes [\(rank == 4 ? "frames, " : "")height, width, \(channels)] expected")
            }
            let all = try file.array(name, of: UInt8.self)
            (height, width) = (info.shape[rank - 3], info.shape[rank - 2])
            let size = height * width * channels
            frames = (0..<(all.count / size)).map { Array(all[($0 * size)..<(($0 + 1) * size)]) }
        }
    }

    /// `image…` `[H, W, 3]` → `pixel_values…` `[1, 3, h, w]`.
    private static func clip(_ path: String, _ inputs: SafetensorsFile) throws -> [String: Tensor] {
        let processor = try CLIPImageProcessor(folder: path)
        let names = inputs.tensors.keys.filter { $0.hasPrefix("image") }.sorted()
        if let other = inputs.tensors.keys.filter({ !$0.hasPrefix("image") }).min() {
            throw SafetensorsError(.mismatch, path: inputs.file.path, "holds '\(other)'; pictures are named 'image…' here")
        }
        guard !names.isEmpty else { throw SafetensorsError(.mismatch, path: inputs.file.path, "has no tensor 'image…' of bytes [height, width, 3]") }
        return Dictionary(uniqueKeysWithValues: try names.map { name in
            let picture = try Pictures(inputs, name, rank: 3, channels: 3)
            let values = processor(picture.frames[0], width: picture.width, height: picture.height)
            return ("pixel_values" + name.dropFirst(5), values.unsqueezed(0))
        })
    }

    /// `image` `[H, W, 3]`, `pose`, `face` `[F, H, W, 3]` and `mask` `[F, H, W, 1]`, as many as there are → `…_pixels` `[1, channels, (F,) h, w]`.
    private static func wanAnimate(_ c: Canvas, _ inputs: SafetensorsFile) throws -> [String: Tensor] {
        let canvas = (width: c.width, height: c.height), face = (width: c.motion_encoder_size, height: c.motion_encoder_size)
        func tensor(_ frames: [[UInt8]], channels: Int, _ size: (width: Int, height: Int), _ value: (UInt8) -> Float) -> Tensor {
            let values = Tensor(frames.flatMap { $0.map(value) }, [frames.count, size.height, size.width, channels])
            return values.permuted(3, 0, 1, 2).unsqueezed(0)
        }
        func signed(_ byte: UInt8) -> Float { Float(byte) / 127.5 - 1 }
        try NetworkEvaluation.allow(["image", "pose", "face", "mask"], in: inputs, "Wan-Animate")
        var outputs: [String: Tensor] = [:]
        if inputs.tensors["image"] != nil {
            let p = try Pictures(inputs, "image", rank: 3, channels: 3)
            let fitted = WanFraming.fitted(p.frames[0], width: p.width, height: p.height, canvas: canvas)
            outputs["image_pixels"] = tensor([fitted], channels: 3, canvas, signed).squeezed(2)
        }
        for (name, size) in [("pose", canvas), ("face", face)] where inputs.tensors[name] != nil {
            let p = try Pictures(inputs, name, rank: 4, channels: 3)
            let frames = p.frames.map { WanFraming.stretched($0, width: p.width, height: p.height, canvas: size) }
            outputs["\(name)_pixels"] = tensor(frames, channels: 3, size, signed)
        }
        if inputs.tensors["mask"] != nil {
            let p = try Pictures(inputs, "mask", rank: 4, channels: 1)
            let frames = p.frames.map { ByteResize.resized($0, width: p.width, height: p.height, channels: 1, to: canvas, .lanczos) }
            outputs["mask_pixels"] = tensor(frames, channels: 1, canvas) { Float($0) / 255 }
        }
        guard !outputs.isEmpty else { throw SafetensorsError(.mismatch, path: inputs.file.path, "has none of 'image', 'pose', 'face' and 'mask'") }
        return outputs
    }
}
