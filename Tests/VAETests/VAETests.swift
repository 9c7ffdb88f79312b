import Foundation
import Safetensors
import Tensors
import Testing

@testable import Models

/// The autoencoder against diffusers' `AutoencoderKLWan` (version and seed in each `case.json`).
struct VAETests {
    /// A small checkpoint with its inputs, outputs and tolerances.
    struct Fixture {
        struct Case: Decodable {
            struct Output: Decodable { var tolerance: Tolerance }
            struct Tolerance: Decodable {
                var relative: Double, absolute: Double
                enum CodingKeys: String, CodingKey { case relative = "rel_l2", absolute = "max_abs" }
            }
            var outputs: [String: Output]
        }

        let model: AutoencoderKLWan
        let inputs, outputs: SafetensorsFile
        let description: Case

        init(_ name: String, _ precision: Precision = .f32) throws {
            let folder = try #require(Bundle.module.resourceURL).appending(path: "Fixtures/\(name)")
            model = try AutoencoderKLWan(WeightStore(path: folder.path, precision: precision))
            inputs = try SafetensorsFile(path: folder.appending(path: "inputs.safetensors").path)
            outputs = try SafetensorsFile(path: folder.appending(path: "outputs.safetensors").path)
            description = try JSONDecoder().decode(
                Case.self, from: Data(contentsOf: folder.appending(path: "case.json")))
        }

        func input(_ name: String) throws -> Tensor { try Tensor(inputs, name).squeezed(0) }

        func expectEqual(_ actual: Tensor, _ name: String) throws {
            let expected = try Tensor(outputs, name).squeezed(0)
            let tolerance = try #require(description.outputs[name]).tolerance
            try #require(actual.shape == expected.shape, "\(name)")
            let difference = actual - expected
            let relative = ((difference * difference).sum() / (expected * expected).sum()).squareRoot()
            let largest = difference.array.reduce(0) { max($0, abs($1)) }
            #expect(
                relative < tolerance.relative && Double(largest) < tolerance.absolute,
                "\(name): relative error \(relative), largest \(largest)")
        }
    }

    @Test(arguments: ["vae_wan21", "vae_wan22_residual"])
    func matchesDiffusers(_ name: String) throws {
        let fixture = try Fixture(name)
        let vae = fixture.model
        let posterior = vae.encode(try fixture.input("video"))
        try fixture.expectEqual(posterior.mean, "video_mean")
        try fixture.expectEqual(posterior.logVariance, "video_logvar")
        try fixture.expectEqual(vae.standardized(posterior.mean), "video_standardised")
        let image = vae.encode(try fixture.input("image"))
        try fixture.expectEqual(image.mean, "image_mean")
        try fixture.expectEqual(vae.standardized(image.mean), "image_standardised")
        let latents = vae.destandardized(try fixture.input("latents_standardised"))
        try fixture.expectEqual(vae.decode(latents), "decoded")
        try fixture.expectEqual(vae.decode(latents.sliced(1, 0..<1)), "decoded_first")
    }

    /// Rounded weights and inputs of convolutions, and rounded products where the processor has them: far from the tolerances above, and
    /// no farther than PyTorch's own bf16, which is at 1.8e-2 and 1.3e-2 here.
    @Test(arguments: ["vae_wan21", "vae_wan22_residual"])
    func roundsToHalfPrecision(_ name: String) throws {
        let exact = try Fixture(name)
        let rounded = try Fixture(name, .bf16).model
        let latents = exact.model.destandardized(try exact.input("latents_standardised"))
        let expected = exact.model.decode(latents), difference = rounded.decode(latents) - expected
        let error = ((difference * difference).sum() / (expected * expected).sum()).squareRoot()
        #expect(1e-5 < error && error < (name == "vae_wan21" ? 1.8e-2 : 1.3e-2), "relative error \(error)")
    }

    @Test func tilesMatchDiffusers() throws {
        let fixture = try Fixture("vae_wan21")
        let vae = fixture.model
        let tiling = VAETiling(size: 24, stride: 16)
        let latents = vae.destandardized(try fixture.input("latents_standardised"))
        try fixture.expectEqual(vae.decode(latents, tiling: tiling), "decoded_tiled")
        try fixture.expectEqual(vae.encode(try fixture.input("video"), tiling: tiling).mean, "video_mean_tiled")
    }

    /// Tiles that wait on disk for their neighbours give the values of tiles in memory, on any number of threads.
    @Test(arguments: ["vae_wan21", "vae_wan22_residual"])
    func tilesOfClipsWaitOnDisk(_ name: String) throws {
        let fixture = try Fixture(name)
        let vae = fixture.model
        let patch = vae.configuration.patchSize
        let tiling = patch == 1 ? VAETiling(size: 24, stride: 16) : VAETiling(size: 16, stride: 16)
        // Diffusers counts patches here.
        let pixels = VAETiling(size: tiling.size * patch, stride: tiling.stride * patch)
        let latents = try fixture.input("latents_standardised"), video = try fixture.input("video")
        let folder = FileManager.default.temporaryDirectory.appending(path: "tiles-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (latents, video) in [(latents, video), (latents.sliced(1, 0..<1), video.sliced(1, 0..<1))] {
            let (decoded, encoded) = (vae.decode(vae.destandardized(latents), tiling: tiling), vae.standardized(vae.encode(video, tiling: tiling).mean))
            #expect(!decoded.hasSameBytes(as: vae.decode(vae.destandardized(latents))), "there is more than one tile")
            for threads in [1, 2] {
                try Parallel.$threads.withValue(threads) {
                    let network = VideoAutoencoder.wan(vae)
                    var frames: [Tensor] = []
                    try network.decode(
                        count: latents.shape[1], tiling: tiling, scratch: folder, latent: { latents.sliced(1, $0..<($0 + 1)) },
                        frames: { frames.append($0) })
                    #expect(Tensor.concatenated(frames, 1).hasSameBytes(as: decoded))
                    let pieces = try network.encode(count: video.shape[1], tiling: pixels) { video.sliced(1, $0) }
                    #expect(pieces.hasSameBytes(as: encoded))
                }
            }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }

    @Test func framesThatDoNotFitAreRefused() throws {
        let vae = try Fixture("vae_wan21").model
        let side = 1 << 20
        for encodes in [true, false] {
            #expect {
                try vae.checkRoom(encodes: encodes, width: side, height: side, isTile: false, isClip: true)
            } throws: { "\($0)".contains("whole frames of 1048576×1048576") && "\($0)".contains("'tile: 256'") }
            #expect { try vae.checkRoom(encodes: encodes, width: side, height: side, isTile: true, isClip: false) } throws: {
                "\($0)".contains("set 'tile' to less")
            }
            try vae.checkRoom(encodes: encodes, width: 1024, height: 1024, isTile: false, isClip: true)
        }
    }

    /// Frames fed in uneven portions give the same bytes as the whole clip, on any number of threads.
    @Test(arguments: ["vae_wan21", "vae_wan22_residual"], [Precision.f32, .bf16])
    func streamsEqualWholeClips(_ name: String, _ precision: Precision) throws {
        let fixture = try Fixture(name, precision)
        let vae = fixture.model
        let video = try fixture.input("video"), latents = try fixture.input("latents_standardised")
        let whole = vae.standardized(vae.encode(video).mean)
        let frames = vae.decode(vae.destandardized(latents))
        Parallel.$threads.withValue(2) {
            var encoder = vae.encoderStream()
            let pieces = [0..<3, 3..<4, 4..<9].compactMap { encoder.encode(video.sliced(1, $0)) }
            #expect(Tensor.concatenated(pieces, 1).array == whole.array)
            var decoder = vae.decoderStream()
            let decoded = (0..<latents.shape[1]).map { decoder.decode(latents.sliced(1, $0..<($0 + 1))) }
            #expect(decoded.map { $0.shape[1] } == [1, 4, 4])
            #expect(Tensor.concatenated(decoded, 1).array == frames.array)
        }
    }
}
