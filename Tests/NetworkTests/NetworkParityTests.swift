import Foundation
import Safetensors
import Tensors
import Testing

@testable import Models

/// The networks against their PyTorch definitions: same weights, same inputs, same outputs.
///
/// `Tests/Parity/make_network_fixtures.py` writes the fixtures.
@Suite("Networks equal their PyTorch definitions")
struct NetworkParityTests {
    struct Fixture {
        let file: SafetensorsFile
        let weights: WeightStore

        init(_ name: String) throws {
            let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            let path = tests.appending(path: "Fixtures/Networks/\(name).safetensors").path
            file = try SafetensorsFile(path: path)
            weights = try WeightStore(path: path)
        }

        func input(_ name: String) throws -> Tensor { try Tensor(file, "in.\(name)") }
        func output(_ name: String) throws -> Tensor { try Tensor(file, "out.\(name)") }

        func expectEqual(
            _ actual: Tensor, _ name: String, tolerance: Double = 2e-5,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let expected = try output(name)
            try #require(actual.count == expected.count, "\(name): \(actual.shape)", sourceLocation: sourceLocation)
            let difference = actual.reshaped([actual.count]) - expected.reshaped([expected.count])
            let square = expected * expected
            let relative = ((difference * difference).sum() / square.sum()).squareRoot()
            #expect(relative <= tolerance, "\(name): relative L2 error \(relative)", sourceLocation: sourceLocation)
        }
    }

    @Test(arguments: ["dit_sample", "dit_velocity", "dit_joint", "dit_stage1"])
    func transformer(_ name: String) throws {
        let fixture = try Fixture(name)
        let dit = try DreamActorTransformer(fixture.weights, under: "weight")
        let x = try fixture.input("x").squeezed(0)
        let references = try fixture.input("references").squeezed(0)
        let timesteps = try fixture.input("timestep").array.map { Double($0) }
        let cache = dit.encode(references: references, pose: try fixture.input("reference_pose").squeezed(0))
        for (index, block) in cache.blocks.enumerated() {
            // The fixture has [1, heads, tokens, width].
            let heads = dit.configuration.heads
            func split(_ t: Tensor) -> Tensor { t.reshaped(t.shape[0], heads, -1).permuted(1, 0, 2) }
            try fixture.expectEqual(split(block.own.k), "cache.\(index).k")
            try fixture.expectEqual(split(block.own.v), "cache.\(index).v")
            try fixture.expectEqual(split(block.cross.k), "cache.\(index).reference_k")
            try fixture.expectEqual(split(block.cross.v), "cache.\(index).reference_v")
        }
        let velocity = dit(
            x, timesteps: timesteps, pose: try fixture.input("pose").squeezed(0),
            face: try fixture.input("face").squeezed(0), references: cache)
        try fixture.expectEqual(velocity, "velocity")
        let dropped = dit.encode(references: Tensor(zeros: references.shape))
        try fixture.expectEqual(
            dit(x, timesteps: timesteps, pose: nil, face: nil, references: dropped), "velocity_dropped")
    }

    @Test func poseEncoder() throws {
        let fixture = try Fixture("pose_encoder")
        let encoder = try PoseEncoder(fixture.weights, under: "weight")
        let maps = try fixture.input("maps").squeezed(0)
        var stream = encoder.stream()
        var features: [Tensor] = []
        var start = 0
        while start < maps.shape[1] {
            let length = stream.chunkLength
            features.append(stream.encode(maps.sliced(1, start..<(start + length))))
            start += length
        }
        try fixture.expectEqual(Tensor.concatenated(features, 1), "features")
    }

    @Test func faceMotionEncoder() throws {
        let fixture = try Fixture("face_motion_encoder")
        let encoder = try FaceMotionEncoder(fixture.weights, under: "weight")
        let crops = try fixture.input("crops")
        let each = (0..<crops.shape[0]).map { crops.selected(0, $0) }
        try fixture.expectEqual(Tensor.stacked(each.map { encoder.motion($0) }), "motion")
        try fixture.expectEqual(Tensor.stacked(each.map { encoder($0) }), "tokens")
    }

    @Test func audioEncoder() throws {
        let fixture = try Fixture("audio_encoder")
        let encoder = try AudioEncoder(fixture.weights, under: "weight")
        let mel = LogMel()(try fixture.input("samples").array)
        try fixture.expectEqual(Tensor(mel), "mel")
        let times = try fixture.input("times").array.map { Double($0) }
        let features = LogMel.onFrames(mel, times: times, window: encoder.configuration.window)
        try fixture.expectEqual(Tensor(features), "features")
        try fixture.expectEqual(encoder(Tensor(features, [times.count, features.count / times.count])), "tokens")
    }

    @Test func keypointNet() throws {
        let fixture = try Fixture("keypoint_net")
        let network = try KeypointNet(fixture.weights, under: "weight")
        let images = try fixture.input("image")
        let outputs = (0..<images.shape[0]).map { network(images.selected(0, $0)) }
        try fixture.expectEqual(Tensor.stacked(outputs.map(\.heatmaps)), "heatmaps")
        try fixture.expectEqual(Tensor.stacked(outputs.map(\.depths)), "depths")
        try fixture.expectEqual(Tensor.stacked(outputs.map(\.visibility)), "visibility")
        try fixture.expectEqual(Tensor.stacked(outputs.map(\.head)), "head")
    }

    @Test func blockAutoencoder() throws {
        let fixture = try Fixture("block_vae")
        let vae = VideoAutoencoder.block(try BlockVAE(fixture.weights, under: "weight"))
        let video = try fixture.input("video").squeezed(0)
        var encoder = vae.encoder()
        var latents: [Tensor] = []
        var start = 0
        while start < video.shape[1] {
            let end = start + encoder.chunkLength
            latents.append(encoder.encode(video.sliced(1, start..<end)))
            start = end
        }
        try fixture.expectEqual(Tensor.concatenated(latents, 1), "standardised")
        let z = try fixture.input("z").squeezed(0)
        var decoder = vae.decoder()
        let frames = (0..<z.shape[1]).map { decoder.decode(z.sliced(1, $0..<($0 + 1))) }
        try fixture.expectEqual(Tensor.concatenated(frames, 1), "from_standardised")
    }

    @Test("tensors that are missing, superfluous or misshapen are errors that name them")
    func strictLoading() throws {
        let file = try Fixture("pose_encoder").file
        let path = FileManager.default.temporaryDirectory.appending(path: "strict-\(UUID().uuidString).safetensors")
            .path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let writer = try SafetensorsWriter(
            path: path, metadata: ["config": file.metadata["config"] ?? ""], headerCapacity: 16_384)
        for (name, info) in file.tensors where name.hasPrefix("weight.") && name != "weight.conv_out.bias" {
            let own = String(name.dropFirst("weight.".count))
            let shape = own == "conv_in.bias" ? [2, info.count / 2] : info.shape
            try writer.write(own, try file.array(name, of: Float.self), shape: shape)
        }
        try writer.write("conv_in.scale", [Float(1)], shape: [1])
        _ = try writer.finish(sync: false)
        let error = #expect(throws: WeightError.self) { _ = try PoseEncoder(WeightStore(path: path)) }
        let message = error?.message ?? ""
        #expect(message.contains("'conv_out.bias' is missing"))
        #expect(message.contains("'conv_in.scale' of shape [1] is not part of the model"))
        #expect(message.contains("'conv_in.bias' has shape [2, 3], [6] expected"))
    }
}
