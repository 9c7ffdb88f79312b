import Foundation
import Safetensors
import Tensors
import Testing

@testable import Models

/// Inputs and configurations that the reference implementations refuse, ignore or derive.
@Suite("What does not fit a published network is refused in words")
struct RefusalTests {
    private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures")
    private let scratch: URL

    init() throws {
        scratch = FileManager.default.temporaryDirectory.appending(path: "refusals-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "no error"
    }

    /// A fixture with other settings in one of its files; null removes one.
    private func altered(_ fixture: String, _ file: String, _ changes: String) throws -> String {
        let folder = scratch.appending(path: UUID().uuidString), source = Self.fixtures.appending(path: fixture)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: source.path) where name != file {
            try FileManager.default.createSymbolicLink(at: folder.appending(path: name), withDestinationURL: source.appending(path: name))
        }
        let own = (try? Data(contentsOf: source.appending(path: file))) ?? Data("{}".utf8)
        let settings = try #require(JSONSerialization.jsonObject(with: own) as? [String: Any])
        let new = try #require(JSONSerialization.jsonObject(with: Data(changes.utf8)) as? [String: Any])
        try JSONSerialization.data(withJSONObject: settings.merging(new) { $1 }).write(to: folder.appending(path: file))
        return folder.path
    }

    /// Inputs of a fixture with other shapes: one value everywhere.
    private func inputs(_ fixture: String, _ shapes: [String: [Int]], value: Float) throws -> SafetensorsFile {
        let file = try SafetensorsFile(path: Self.fixtures.appending(path: "\(fixture)/inputs.safetensors").path)
        let path = scratch.appending(path: "\(UUID().uuidString).safetensors").path
        let writer = try SafetensorsWriter(path: path)
        for (name, shape) in file.tensors.mapValues(\.shape).merging(shapes, uniquingKeysWith: { $1 }).sorted(by: { $0.key < $1.key }) {
            try writer.write(name, [Float](repeating: shapes[name] == nil ? 1 : value, count: shape.reduce(1, *)), shape: shape)
        }
        try writer.finish(sync: false)
        return try SafetensorsFile(path: path)
    }

    @Test(arguments: [
        ("Published/wan_transformer_i2v", ["guidance": [1]], Float(1), "holds 'guidance'; a WanTransformer3DModel takes 'hidden_states', 'timestep', "),
        ("Published/wan_transformer_t2v", ["encoder_hidden_states_image": [2, 5, 24]], 1, "holds 'encoder_hidden_states_image'"),
        ("Published/wan_transformer_i2v", ["hidden_states": [0, 12, 3, 4, 6]], 1, "'hidden_states' [0, 12, 3, 4, 6] is empty"),
        ("Published/wan_transformer_i2v", ["encoder_hidden_states_image": [2, 5, 24]], 1, "'encoder_hidden_states_image' has shape [2, 5, 24], [1, -1, 24] expected"),
        ("Published/wan_transformer_i2v", ["timestep": [1]], .nan, "'timestep' holds NaN or infinity"),
        ("Published/wan_animate_transformer", ["pose": [1]], 1, "holds 'pose'; a WanAnimateTransformer3DModel takes"),
        ("Configurations/wan_animate_2", ["origin_len": [1], "origin_area": [2]], 1e9, "'origin_len' must be one number of frames, at most 1000000"),
        ("Configurations/wan_animate_2", ["origin_len": [1], "origin_area": [2]], 1e5, "GB, and this process may use"),
        ("Configurations/wan_animate_2", ["origin_len": [1], "origin_area": [2]], 0.5, "'origin_len' holds 0.5, whole numbers expected"),
        ("Published/clip_vision", ["pixel_values": [0, 3, 56, 56]], 1, "'pixel_values' [0, 3, 56, 56] is empty"),
        ("Published/clip_vision", ["image": [1]], 1, "holds 'image'; a CLIPVisionModel takes 'pixel_values'"),
        ("Published/umt5_encoder", ["input_ids": [0, 6]], 1, "'input_ids' [0, 6] is empty"),
        ("Published/umt5_encoder", ["mask": [1]], 1, "holds 'mask'"),
        ("Wav2Vec2/group", ["attention_mask": [20_800]], 0, "'attention_mask' leaves 0 samples; at least 400 are needed"),
        ("Published/scheduler_unipc_flow", ["sigmas": [1]], 1, "holds 'sigmas'; a UniPCMultistepScheduler takes"),
        ("Published/clip_image_processor", ["picture": [1]], 1, "holds 'picture'; pictures are named 'image…' here"),
        ("Published/wan_animate_preprocess", ["video": [1]], 1, "holds 'video'; a Wan-Animate takes"),
    ])
    func wrongInputs(_ fixture: String, _ shapes: [String: [Int]], _ value: Float, _ expected: String) throws {
        let file = try inputs(fixture, shapes, value: value)
        let text = message { _ = try NetworkEvaluation.evaluate(model: Self.fixtures.appending(path: fixture).path, inputs: file) }
        #expect(text.contains(expected), "\(text)")
    }

    @Test(arguments: [
        ("Published/wan_transformer_t2v", "config.json", #"{"eps": 0}"#, "config.json: eps is 0.0, a number above 0 expected"),
        ("Published/clip_vision", "config.json", #"{"layer_norm_eps": -1}"#, "config.json: layer_norm_eps is -1.0, a number above 0 expected"),
        ("Published/clip_vision", "config.json", #"{"hidden_act": "mish"}"#, "config.json: hidden_act is 'mish'; gelu, relu, silu, swish, gelu_new, gelu_pytorch_tanh and quick_gelu are known"),
        ("Published/umt5_encoder", "config.json", #"{"layer_norm_epsilon": 0}"#, "config.json: layer_norm_epsilon is 0.0"),
        ("Published/umt5_encoder", "config.json", #"{"relative_attention_max_distance": 3}"#, "config.json: relative_attention_max_distance is 3, more than a quarter"),
        ("Wav2Vec2/group", "config.json", #"{"feat_extract_activation": "mish"}"#, "config.json: feat_extract_activation is 'mish'"),
        ("Wav2Vec2/group", "config.json", #"{"feat_extract_norm": "batch"}"#, "config.json: 'batch', where 'group' and 'layer' are known, at 'feat_extract_norm'"),
        ("Wav2Vec2/group", "preprocessor_config.json", #"{"do_normalize": 3}"#, "preprocessor_config.json: is not a feature extractor's: Bool expected at 'do_normalize'"),
        ("Wav2Vec2/group", "preprocessor_config.json", #"{"sampling_rate": 8000}"#, "preprocessor_config.json: sampling_rate is 8000, 16000 expected"),
        ("Published/scheduler_unipc_flow", "scheduler_config.json", #"{"flow_shift": "x"}"#, "is not a scheduler's configuration: Double expected at 'flow_shift'"),
        ("Published/scheduler_unipc_flow", "scheduler_config.json", #"{"solver_order": 2.5}"#, "a number of another kind than 2.5 expected at 'solver_order'"),
        ("Published/clip_image_processor", "preprocessor_config.json", #"{"resample": 9}"#, "is not a CLIPImageProcessor's: resample is 9; 1 (Lanczos)"),
        ("Published/clip_image_processor", "preprocessor_config.json", #"{"size": {"shortest_edge": 64, "longest_edge": 90}}"#, "'longest_edge', where shortest_edge or height and width are known, at 'size'"),
        ("Published/clip_image_processor", "preprocessor_config.json", #"{"crop_size": {"shortest_edge": 64}}"#, "shortest_edge, where height and width are known, at 'crop_size'"),
        ("Published/clip_image_processor", "preprocessor_config.json", #"{"do_pad": true, "pad_size": {"height": 200, "width": 200}}"#, "do_pad with a size is not known at 'pad_size'"),
        ("Published/clip_image_processor", "preprocessor_config.json", #"{"image_mean": null}"#, "expected at 'image_mean'"),
    ])
    func wrongSettings(_ fixture: String, _ file: String, _ changes: String, _ expected: String) throws {
        let folder = try altered(fixture, file, changes)
        let own = try SafetensorsFile(path: "\(folder)/inputs.safetensors")
        let text = message { _ = try NetworkEvaluation.evaluate(model: folder, inputs: own) }
        #expect(text.contains(expected), "\(text)")
    }

    @Test("what has no effect is refused") func withoutEffect() throws {
        func said(_ fixture: String, _ precision: Precision, adapters: [LowRankAdapter] = []) throws -> String {
            let path = Self.fixtures.appending(path: fixture).path
            let file = try SafetensorsFile(path: path.hasSuffix("safetensors") ? path : "\(path)/inputs.safetensors")
            return message { _ = try NetworkEvaluation.evaluate(model: path, adapters: adapters, inputs: file, precision: precision) }
        }
        let adapter = try LowRankAdapter(path: Self.fixtures.appending(path: "Configurations/stored/peft.lora").path)
        #expect(try said("Wav2Vec2/group", .bf16).contains("precision bf16 is not for Wav2Vec2Model, which takes f32"))
        #expect(try said("Networks/vae_residual.safetensors", .int8).contains("precision int8 is not for AutoencoderKLWan, which takes f32 or bf16"))
        for fixture in ["Published/scheduler_unipc_flow", "Published/clip_image_processor"] {
            #expect(try said(fixture, .f32, adapters: [adapter]).contains("has no weights: neither a LoRA nor a precision applies"))
            #expect(try said(fixture, .bf16).contains("has no weights"))
        }
    }

    @Test("each scheduler has a key of its own for the shift", arguments: [
        ("UniPCMultistepScheduler", #""shift": 3"#, 1.0), ("UniPCMultistepScheduler", #""shift": 3, "flow_shift": 5"#, 5),
        ("DPMSolverMultistepScheduler", #""shift": 3"#, 1), ("DPMSolverMultistepScheduler", #""flow_shift": 5"#, 5),
        ("FlowMatchEulerDiscreteScheduler", #""flow_shift": 5"#, 1), ("FlowMatchEulerDiscreteScheduler", #""shift": 3, "flow_shift": 5"#, 3),
    ])
    func shift(_ name: String, _ keys: String, _ expected: Double) throws {
        let text = #"{"_class_name": "\#(name)", "prediction_type": "flow_prediction", "use_flow_sigmas": true, \#(keys)}"#
        try Data(text.utf8).write(to: scratch.appending(path: "scheduler_config.json"))
        #expect(try SchedulerConfiguration(folder: scratch.path).shift == expected)
    }

    @Test("channels that a Wan's configuration leaves out, or leaves open", arguments: [
        (#""WanTransformer3DModel", "in_channels": 36"#, [36, 16, -1]), (#""WanTransformer3DModel", "in_channels": 36, "out_channels": null"#, [36, 36, -1]),
        (#""WanAnimateTransformer3DModel""#, [36, 16, 16]),
        (#""WanAnimateTransformer3DModel", "in_channels": null, "latent_channels": 4, "out_channels": 3"#, [12, 3, 4]),
        (#""WanAnimateTransformer3DModel", "in_channels": 12, "latent_channels": null, "out_channels": null"#, [12, 4, 4]),
        (#""WanAnimateTransformer3DModel", "in_channels": null, "latent_channels": null"#, []),
        (#""WanAnimateTransformer3DModel", "in_channels": -9223372036854775808, "latent_channels": null"#, []),
    ])
    func channels(_ keys: String, _ expected: [Int]) {
        let c = try? JSONDecoder().decode(WanConfiguration.self, from: Data(#"{"_class_name": \#(keys)}"#.utf8))
        #expect(c.map { [$0.inChannels, $0.outChannels, $0.latentChannels ?? -1] } ?? [] == expected)
    }

    @Test("a whole CLIP projects to the width at the top of its configuration") func projection() throws {
        let name = "Published/clip_vision_projection"
        var vision = try #require(
            JSONSerialization.jsonObject(with: Data(contentsOf: Self.fixtures.appending(path: "\(name)/config.json"))) as? [String: Any])
        let width = try #require(vision["projection_dim"])
        vision["projection_dim"] = nil
        let whole: [String: Any] = ["architectures": ["CLIPModel"], "projection_dim": width, "vision_config": vision]
        let folder = try altered(name, "config.json", String(decoding: JSONSerialization.data(withJSONObject: whole), as: UTF8.self))
        let file = try SafetensorsFile(path: "\(folder)/inputs.safetensors")
        let results = try NetworkEvaluation.evaluate(model: folder, inputs: file)
        try PublishedNetworkTests.Case("clip_vision_projection").expectEqual(try #require(results["image_embeds"]).array, "image_embeds")
    }

    @Test("of CLIP's settings null is no, for what is done") func null() throws {
        let name = "Published/clip_image_processor"
        let processor = try CLIPImageProcessor(
            folder: altered(name, "preprocessor_config.json", #"{"do_rescale": null, "do_normalize": null, "do_center_crop": null, "do_resize": null, "do_pad": true}"#))
        #expect(processor([0, 128, 255], width: 1, height: 1).array == [0, 128, 255])
    }
}
