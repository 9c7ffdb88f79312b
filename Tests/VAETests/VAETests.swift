import Foundation
import Models
import Safetensors
import Tensors
import Testing

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

    @Test func tiledStreamsEqualTiledClips() throws {
        let fixture = try Fixture("vae_wan21")
        let vae = fixture.model
        let tiling = VAETiling(size: 24, stride: 16)
        let network = VideoAutoencoder.wan(vae)
        let latents = try fixture.input("latents_standardised"), video = try fixture.input("video")
        var decoder = network.decoder(tiling: tiling)
        let frames = (0..<latents.shape[1]).map { decoder.decode(latents.sliced(1, $0..<($0 + 1))) }
        /// Not bit for bit: one frame's convolution may be cut otherwise than a clip's.
        func largest(_ a: Tensor, _ b: Tensor) -> Float { (a - b).array.reduce(0) { max($0, abs($1)) } }
        #expect(largest(Tensor.concatenated(frames, 1), vae.decode(vae.destandardized(latents), tiling: tiling)) < 1e-5)
        var encoder = network.encoder(tiling: tiling)
        var next = 0
        var pieces: [Tensor] = []
        while next < video.shape[1] {
            let end = next + encoder.chunkLength
            pieces.append(encoder.encode(video.sliced(1, next..<end)))
            next = end
        }
        #expect(largest(Tensor.concatenated(pieces, 1), vae.standardized(vae.encode(video, tiling: tiling).mean)) < 1e-5)
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
