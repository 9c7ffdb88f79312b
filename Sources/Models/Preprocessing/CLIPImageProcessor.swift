import Foundation
import Safetensors
public import Tensors

/// Pictures as CLIP takes them (`preprocessor_config.json` of a `CLIPImageProcessor`, Pillow 13 as its backend): resize, crop the middle, normalise.
public struct CLIPImageProcessor: Decodable, Sendable {
    /// A size, as configurations of different age write it.
    public enum Size: Decodable, Sendable, Equatable {
        /// The shorter side gets this length, the aspect is kept.
        case shortestEdge(Int)
        case exact(height: Int, width: Int)

        private enum CodingKeys: String, CodingKey { case shortestEdge = "shortest_edge", height, width }
        private struct AnyKey: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        public init(from decoder: any Decoder) throws {
            if let side = try? decoder.singleValueContainer().decode(Int.self) {
                self = .shortestEdge(side)
                return
            }
            let all = try decoder.container(keyedBy: AnyKey.self)
            let other = try all.allKeys.filter { try CodingKeys(stringValue: $0.stringValue) == nil && !all.decodeNil(forKey: $0) }.map(\.stringValue).min()
            if let other {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: decoder.codingPath, debugDescription: "'\(other)', where shortest_edge or height and width are known,"))
            }
            let c = try decoder.container(keyedBy: CodingKeys.self)
            if let side = try c.decodeIfPresent(Int.self, forKey: .shortestEdge) {
                self = .shortestEdge(side)
            } else {
                self = .exact(height: try c.decode(Int.self, forKey: .height), width: try c.decode(Int.self, forKey: .width))
            }
        }

        var sides: [Int] {
            switch self {
            case .shortestEdge(let side): [side]
            case .exact(let height, let width): [height, width]
            }
        }
    }

    /// Nil: not resized.
    let size: Size?
    let filter: PictureFilter
    /// Nil: not cropped.
    let crop: (height: Int, width: Int)?
    let factor: Float
    let mean, std: [Float]

    private enum CodingKeys: String, CodingKey {
        case doPad = "do_pad", padSize = "pad_size", doResize = "do_resize", size, resample, doCrop = "do_center_crop", crop = "crop_size"
        case doRescale = "do_rescale", factor = "rescale_factor", doNormalize = "do_normalize", mean = "image_mean", std = "image_std"
    }

    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T { try c.decodeIfPresent(T.self, forKey: key) ?? standard }
        func refuse(_ key: CodingKeys, _ message: String) -> DecodingError {
            .dataCorruptedError(forKey: key, in: c, debugDescription: message)
        }
        /// As the reference has it: what is missing is done, null is no, and what is to be done has its values.
        func does(_ key: CodingKeys) throws -> Bool { c.contains(key) ? try c.decodeIfPresent(Bool.self, forKey: key) ?? false : true }
        func setting<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T { c.contains(key) ? try c.decode(T.self, forKey: key) : standard }
        size = try does(.doResize) ? setting(.size, .shortestEdge(224)) : nil
        let number = try size == nil ? 3 : setting(.resample, 3)
        guard let filter = PictureFilter(rawValue: number) else {
            throw refuse(.resample, "resample is \(number); 1 (Lanczos), 2 (bilinear), 3 (bicubic), 4 (box) and 5 (Hamming) are known")
        }
        self.filter = filter
        if try does(.doCrop) {
            switch try setting(.crop, Size.exact(height: 224, width: 224)) {
            case .shortestEdge(let side):
                guard (try? c.decode(Int.self, forKey: .crop)) != nil else { throw refuse(.crop, "shortest_edge, where height and width are known,") }
                crop = (side, side)
            case .exact(let height, let width): crop = (height, width)
            }
        } else {
            crop = nil
        }
        factor = try does(.doRescale) ? setting(.factor, 1 / 255) : 1
        let normalizes = try does(.doNormalize)
        mean = normalizes ? try setting(.mean, [0.48145466, 0.4578275, 0.40821073]) : [0, 0, 0]
        std = normalizes ? try setting(.std, [0.26862954, 0.26130258, 0.27577711]) : [1, 1, 1]
        // Without a size, pictures of one size, as they are here, are padded by nothing.
        if try value(.doPad, false), c.contains(.padSize), try !c.decodeNil(forKey: .padSize) {
            throw refuse(.padSize, "do_pad with a size is not known")
        }
        guard mean.count == 3, std.count == 3, std.allSatisfy({ $0 > 0 }) else {
            throw refuse(.mean, "image_mean and image_std must have three values, deviations above 0")
        }
        let sides = (size?.sides ?? []) + (crop.map { [$0.height, $0.width] } ?? [])
        guard sides.allSatisfy({ (1...16_384).contains($0) }) else { throw refuse(.size, "sizes \(sides) must be within 1 … 16384") }
    }

    /// Reads `preprocessor_config.json` of a folder, or the settings of the published CLIP where there is none.
    ///
    /// - Throws: `WeightError` when the file cannot be read as such settings.
    public init(folder: String) throws {
        let path = "\(folder)/preprocessor_config.json"
        do {
            let data = FileManager.default.fileExists(atPath: path) ? try Data(contentsOf: URL(filePath: path)) : Data("{}".utf8)
            self = try JSONDecoder().decode(Self.self, text: data)
        } catch {
            throw WeightError(path: path, "is not a CLIPImageProcessor's: \(JSONDecoder.words(error))")
        }
    }

    /// - Parameter pixels: Interleaved RGB bytes, `[height, width, 3]`.
    /// - Returns: `[3, height, width]`, of the crop's size.
    public func callAsFunction(_ pixels: [UInt8], width: Int, height: Int) -> Tensor {
        var (pixels, width, height) = (pixels, width, height)
        if let size {
            let target: (width: Int, height: Int)
            switch size {
            case .exact(let h, let w): target = (w, h)
            case .shortestEdge(let side):
                // The longer side is truncated to whole pixels.
                target = width <= height ? (side, side * height / width) : (side * width / height, side)
            }
            pixels = ByteResize.resized(pixels, width: width, height: height, to: target, filter)
            (width, height) = target
        }
        let (h, w) = crop ?? (height, width)
        // Where the picture is smaller than the crop, black surrounds it; of an odd margin the larger part comes first.
        func offset(_ side: Int, _ crop: Int) -> Int { crop <= side ? (side - crop) / 2 : -((crop - side + 1) / 2) }
        let (top, left) = (offset(height, h), offset(width, w))
        return Tensor([3, h, w]) { out in
            for channel in 0..<3 {
                for y in 0..<h {
                    for x in 0..<w {
                        let (sy, sx) = (y + top, x + left)
                        let isInside = sy >= 0 && sy < height && sx >= 0 && sx < width
                        let value = isInside ? Float(pixels[(sy * width + sx) * 3 + channel]) : 0
                        out.initializeElement(at: (channel * h + y) * w + x, to: (value * factor - mean[channel]) / std[channel])
                    }
                }
            }
        }
    }

    /// A picture stretched to a square as Wan-Animate-2 does it: bicubic interpolation of numbers (a = −0.75, no low-pass when shrinking),
    /// values of −1 … 1 in between, CLIP's published mean and deviation.
    ///
    /// - Parameter pixels: Interleaved RGB bytes, `[height, width, 3]`.
    /// - Returns: `[3, side, side]`.
    public static func stretched(_ pixels: [UInt8], width: Int, height: Int, side: Int) -> Tensor {
        /// Four taps around each target sample.
        func taps(_ length: Int) -> [(places: [Int], weights: [Float])] {
            let scale = Float(length) / Float(side)
            return (0..<side).map { index in
                let source = (Float(index) + 0.5) * scale - 0.5
                let floor = source.rounded(.down)
                let t = source - floor
                let a: Float = -0.75
                func near(_ x: Float) -> Float { ((a + 2) * x - (a + 3)) * x * x + 1 }
                func far(_ x: Float) -> Float { ((a * x - 5 * a) * x + 8 * a) * x - 4 * a }
                return ((-1...2).map { max(0, min(length - 1, Int(floor) + $0)) }, [far(t + 1), near(t), near(1 - t), far(2 - t)])
            }
        }
        let (columns, rows) = (taps(width), taps(height))
        let mean: [Float] = [0.48145466, 0.4578275, 0.40821073], std: [Float] = [0.26862954, 0.26130258, 0.27577711]
        return Tensor([3, side, side]) { out in
            for channel in 0..<3 {
                for y in 0..<side {
                    for x in 0..<side {
                        var sum: Float = 0
                        for (row, vertical) in zip(rows[y].places, rows[y].weights) {
                            var line: Float = 0
                            for (column, horizontal) in zip(columns[x].places, columns[x].weights) {
                                line += (Float(pixels[(row * width + column) * 3 + channel]) / 127.5 - 1) * horizontal
                            }
                            sum += line * vertical
                        }
                        out.initializeElement(at: (channel * side + y) * side + x, to: ((sum * 0.5 + 0.5) - mean[channel]) / std[channel])
                    }
                }
            }
        }
    }
}
