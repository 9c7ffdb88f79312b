import Foundation
import Safetensors
import Tensors
import Testing

@testable import Models

/// What happens before the networks, against transformers, diffusers, tokenizers and ftfy.
@Suite("Preprocessing equals the reference's")
struct PreprocessingTests {
    typealias Case = PublishedNetworkTests.Case

    /// Bytes and shape of a picture, or of one frame.
    private func picture(_ file: SafetensorsFile, _ name: String, frame: Int = 0) throws -> (pixels: [UInt8], width: Int, height: Int, channels: Int) {
        let shape = try file.info(name).shape.suffix(3).map { $0 }
        let all = try file.array(name, of: UInt8.self)
        let size = shape.reduce(1, *)
        return (Array(all[(frame * size)..<((frame + 1) * size)]), shape[1], shape[0], shape[2])
    }

    @Test("CLIP's pictures have Pillow's very bytes", arguments: ["down", "up"])
    func clip(_ direction: String) throws {
        let fixture = try Case("clip_image_processor")
        let processor = try CLIPImageProcessor(folder: fixture.folder)
        let image = try picture(fixture.inputs, "image_\(direction)")
        let result = processor(image.pixels, width: image.width, height: image.height).array
        let expected = try Tensor(fixture.outputs, "pixel_values_\(direction)").array
        #expect(result.count == expected.count && zip(result, expected).allSatisfy { abs($0 - $1) < 1e-5 })
    }

    @Test("Wan-Animate's pictures and clips have Pillow's very bytes")
    func wan() throws {
        let fixture = try Case("wan_animate_preprocess")
        func expect(_ bytes: [[UInt8]], channels: Int, _ name: String, scale: Float, offset: Float) throws {
            let expected = try Tensor(fixture.outputs, name).array
            let plane = bytes[0].count / channels
            try #require(expected.count == bytes.count * channels * plane)
            for channel in 0..<channels {
                for (frame, pixels) in bytes.enumerated() {
                    for pixel in 0..<plane {
                        let value = Float(pixels[pixel * channels + channel]) * scale + offset
                        let other = expected[(channel * bytes.count + frame) * plane + pixel]
                        if abs(value - other) > 1e-5 {
                            Issue.record("\(name): frame \(frame), pixel \(pixel): \(value), not \(other)")
                            return
                        }
                    }
                }
            }
        }
        let image = try picture(fixture.inputs, "image")
        let fitted = WanFraming.fitted(image.pixels, width: image.width, height: image.height, canvas: (80, 48))
        try expect([fitted], channels: 3, "image_pixels", scale: 2 / 255, offset: -1)
        for (name, canvas) in [("pose", (80, 48)), ("face", (32, 32))] {
            let frames = try (0..<2).map { index in
                let frame = try picture(fixture.inputs, name, frame: index)
                return WanFraming.stretched(frame.pixels, width: frame.width, height: frame.height, canvas: canvas)
            }
            try expect(frames, channels: 3, "\(name)_pixels", scale: 2 / 255, offset: -1)
        }
        let masks = try (0..<2).map { index in
            let frame = try picture(fixture.inputs, "mask", frame: index)
            return ByteResize.resized(frame.pixels, width: frame.width, height: frame.height, channels: 1, to: (80, 48), .lanczos)
        }
        try expect(masks, channels: 1, "mask_pixels", scale: 1 / 255, offset: 0)
    }

    private struct Resizing: Decodable {
        var width, height, toWidth, toHeight, filter: Int, digest: String
    }

    @Test("pictures of many sizes have Pillow's very bytes")
    func resizing() throws {
        for row in try Digest.rows(Resizing.self, "resizing") {
            let pixels = (0..<row.width * row.height * 3).map { UInt8(truncatingIfNeeded: ($0 * 2_654_435_761 + $0 / 7 * 97) >> 24) }
            var digest = Digest()
            let resized = ByteResize.resized(
                pixels, width: row.width, height: row.height, to: (row.toWidth, row.toHeight), try #require(PictureFilter(rawValue: row.filter)))
            resized.withUnsafeBytes { digest.add($0) }
            #expect(digest.text == row.digest, "\(row)")
        }
    }

    @Test func framing() {
        #expect((0..<10).map { WanFraming.backAndForth($0, count: 4) } == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3])
        #expect(WanFraming.backAndForth(7, count: 1) == 0)
        #expect(WanFraming.canvas(width: 1920, height: 1080, area: 1280 * 720, align: 16) == (1280, 720))
        #expect(WanFraming.canvas(width: 100, height: 40, area: 1280 * 720, align: 16) == (96, 32))
        let mask = WanFraming.packed(Tensor([1, 0, 0, 0, 0.5], [5, 1, 1]))
        #expect(mask.shape == [4, 2, 1, 1] && mask.array == [1, 0, 1, 0, 1, 0, 1, 0.5])
    }

    private var tokenizers: String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/Tokenizers").path
    }

    /// `Tests/Parity/make_tokenizer_fixtures.py` writes them.
    @Test("tokenizers give the library's numbers", arguments: ["umt5", "t5", "first"])
    func tokens(_ kind: String) throws {
        struct Cases: Decodable {
            struct Case: Decodable { var text: String, ids: [Int], limit: Int? }
            var cases: [Case]
        }
        let tokenizer = try Tokenizer(path: "\(tokenizers)/\(kind).json")
        let cases = try JSONDecoder().decode(Cases.self, from: Data(contentsOf: URL(filePath: "\(tokenizers)/\(kind).cases.json"))).cases
        #expect(cases.count > 200)
        for each in cases {
            let ids = tokenizer(each.text, limit: each.limit ?? .max)
            #expect(ids == each.ids, "\(each.text.debugDescription)")
        }
    }

    /// `Tests/Parity/make_prompt_fixtures.py` writes them.
    @Test func prompts() throws {
        struct Case: Decodable { var text, cleaned: String }
        let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: URL(filePath: "\(tokenizers)/prompts.json")))
        for each in cases {
            let cleaned = PromptText.cleaned(each.text)
            #expect(Array(cleaned.unicodeScalars) == Array(each.cleaned.unicodeScalars), "\(cleaned.debugDescription)")
        }
    }

    @Test("tokenizers that are damaged or unknown are refused", arguments: [
        #"{"model": {"type": "BPE", "vocab": {}}}"#: "'BPE'", #"{"model": {"type": "Unigram", "vocab": [["a", 0], 3]}}"#: "'vocab'",
        #"{"model": {"type": "Unigram", "unk_id": 7, "vocab": [["a", 0]]}, "added_tokens": []}"#: "'unk_id' 7",
        #"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}}"#: "damaged",
        #"{"pre_tokenizer": {"type": "ByteLevel"}}"#: "'ByteLevel'", "[]": "not a tokenizer", "{": "not a tokenizer",
    ])
    func damage(_ text: String, _ expected: String) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "tokenizer-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: path) }
        try Data(text.utf8).write(to: path)
        let error = #expect(throws: WeightError.self) { _ = try Tokenizer(path: path.path) }
        #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
    }
}
