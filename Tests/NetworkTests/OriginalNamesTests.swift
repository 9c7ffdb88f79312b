import Foundation
import Safetensors
import Tensors
import Testing

@testable import Models

/// Checkpoints as Wan's own folders have them. `Tests/Parity/compare_stored.py` compares more of them with diffusers and transformers.
@Suite("Checkpoints in Wan's original names")
struct OriginalNamesTests {
    private static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

    /// The tensors of a case under other names, in a folder or in a file without configuration; removed after `body`.
    private func renamed<R>(
        _ folder: String, hasConfiguration: Bool, _ tensors: (SafetensorsFile) throws -> [String: Tensor], _ body: (String) throws -> R
    ) throws -> R {
        let target = FileManager.default.temporaryDirectory.appending(path: "original-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: target) }
        let names = ["diffusion_pytorch_model", "model"].map { "\(folder)/\($0).safetensors" }
        let file = try SafetensorsFile(path: try #require(names.first { FileManager.default.fileExists(atPath: $0) }))
        let writer = try SafetensorsWriter(path: "\(target)/model.safetensors", headerCapacity: 1 << 17)
        for (name, tensor) in try tensors(file).sorted(by: { $0.key < $1.key }) { try writer.write(name, tensor.array, shape: tensor.shape) }
        _ = try writer.finish(sync: false)
        if hasConfiguration { try FileManager.default.copyItem(atPath: "\(folder)/config.json", toPath: "\(target)/config.json") }
        return try body(hasConfiguration ? target : "\(target)/model.safetensors")
    }

    private func expectSame(
        _ folder: String, hasConfiguration: Bool, _ tensors: (SafetensorsFile) throws -> [String: Tensor]
    ) throws {
        let inputs = try SafetensorsFile(path: "\(folder)/inputs.safetensors")
        let expected = try NetworkEvaluation.evaluate(model: folder, inputs: inputs)
        let results = try renamed(folder, hasConfiguration: hasConfiguration, tensors) { try NetworkEvaluation.evaluate(model: $0, inputs: inputs) }
        for (name, value) in expected where name != "image_embeds" { #expect(results[name]?.array == value.array, "\(name)") }
    }

    private func inBlock(_ rest: Substring) -> String {
        let names = ["norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6", "conv_shortcut": "shortcut"]
        let head = rest.prefix { $0 != "." }
        return (names[String(head)] ?? String(head)) + rest.dropFirst(head.count)
    }

    /// The inverse of what is to be tested, for two residual blocks per level.
    private func autoencoderName(_ name: String, isResidual: Bool) -> String {
        if let m = name.wholeMatch(of: /(post_)?quant_conv\.(\w+)/) { return "conv\(m.1 == nil ? 1 : 2).\(m.2)" }
        if let m = name.wholeMatch(of: /(\w+)\.mid_block\.attentions\.0\.(.*)/) { return "\(m.1).middle.1.\(m.2)" }
        if let m = name.wholeMatch(of: /(\w+)\.mid_block\.resnets\.(\d)\.(.*)/) { return "\(m.1).middle.\(m.2 == "0" ? 0 : 2).\(inBlock(m.3))" }
        for (own, original) in [".conv_in.": ".conv1.", ".norm_out.": ".head.0.", ".conv_out.": ".head.2."] where name.contains(own) {
            return name.replacing(own, with: original)
        }
        if let m = name.wholeMatch(of: /(\w+)\.(up|down)_blocks\.(\d+)\.(?:resnets\.(\d+)|(?:up|down)samplers?(?:\.0)?)\.(.*)/), let level = Int(m.3) {
            let count = m.2 == "up" ? 3 : 2, part = m.4.flatMap { Int($0) } ?? count
            return isResidual ? "\(m.1).\(m.2)samples.\(level).\(m.2)samples.\(part).\(inBlock(m.5))" : "\(m.1).upsamples.\(level * (count + 1) + part).\(inBlock(m.5))"
        }
        if let m = name.wholeMatch(of: /encoder\.down_blocks\.(\d+)\.(.*)/) { return "encoder.downsamples.\(m.1).\(inBlock(m.2))" }
        return name
    }

    @Test(arguments: ["vae_wan21", "vae_wan22_residual"])
    func autoencoder(_ name: String) throws {
        let folder = Self.tests.appending(path: "VAETests/Fixtures/\(name)").path
        try expectSame(folder, hasConfiguration: true) { file in
            let names = file.tensors.keys.map { (autoencoderName($0, isResidual: name == "vae_wan22_residual"), $0) }
            #expect(names.allSatisfy { !$0.0.contains("blocks") && !$0.0.contains("quant") })
            return Dictionary(uniqueKeysWithValues: try names.map { ("model.\($0)", try Tensor(file, $1)) })
        }
    }

    @Test(arguments: [true, false])
    func textEncoder(isOriginal: Bool) throws {
        let folder = Self.tests.appending(path: "Fixtures/Published/umt5_encoder").path
        let parts = [
            "0.layer_norm": "norm1", "0.SelfAttention.q": "attn.q", "0.SelfAttention.k": "attn.k", "0.SelfAttention.v": "attn.v", "0.SelfAttention.o": "attn.o",
            "0.SelfAttention.relative_attention_bias": "pos_embedding.embedding", "1.layer_norm": "norm2", "1.DenseReluDense.wi_0": "ffn.gate.0",
            "1.DenseReluDense.wi_1": "ffn.fc1", "1.DenseReluDense.wo": "ffn.fc2",
        ]
        try expectSame(folder, hasConfiguration: false) { file in
            Dictionary(uniqueKeysWithValues: try file.tensors.keys.map { name in
                let tensor = try Tensor(file, name)
                guard isOriginal else { return (name, tensor) }
                if let m = name.wholeMatch(of: /encoder\.block\.(\d+)\.layer\.(.*)\.weight/) { return ("blocks.\(m.1).\(parts[String(m.2)] ?? "?").weight", tensor) }
                return (name == "shared.weight" ? "token_embedding.weight" : "norm.weight", tensor)
            })
        }
    }

    @Test func imageEncoder() throws {
        let folder = Self.tests.appending(path: "Fixtures/Published/clip_vision").path
        let parts = [
            "embeddings.class_embedding": "cls_embedding", "embeddings.position_embedding.weight": "pos_embedding", "embeddings.patch_embedding": "patch_embedding",
            "pre_layrnorm": "pre_norm", "post_layernorm": "post_norm", "encoder.layers": "transformer", "layer_norm": "norm", "self_attn.out_proj": "attn.proj",
            "self_attn.q_proj": "attn.to_qkv", "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.2",
        ]
        try expectSame(folder, hasConfiguration: true) { file in
            var tensors = ["visual.head": Tensor(zeros: [3, 2]), "log_scale": Tensor(zeros: [1])]
            for name in file.tensors.keys where !name.contains("k_proj") && !name.contains("v_proj") {
                var tensor = try Tensor(file, name)
                if name.contains("q_proj") {
                    tensor = Tensor.concatenated([tensor] + (try ["k_proj", "v_proj"].map { try Tensor(file, name.replacing("q_proj", with: $0)) }), 0)
                }
                let original = parts.reduce(name.replacing("vision_model.", with: "")) { $0.replacing($1.key, with: $1.value) }
                tensors["visual.\(original)"] = original == "pos_embedding" ? tensor.unsqueezed(0) : tensor
            }
            return tensors
        }
    }

    @Test("the original's configuration beside tensors that tell the sizes")
    func originalConfiguration() throws {
        let folder = Self.tests.appending(path: "Fixtures/Configurations/stored").path
        let inputs = try SafetensorsFile(path: "\(folder)/inputs.safetensors")
        let expected = try NetworkEvaluation.evaluate(model: folder, inputs: inputs)["sample"]
        let target = FileManager.default.temporaryDirectory.appending(path: "original-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: target) }
        try FileManager.default.copyItem(atPath: folder, toPath: target)
        struct Sizes: Decodable { var num_attention_heads: Int, attention_head_dim: Int, eps: Float }
        let sizes = try JSONDecoder().decode(Sizes.self, from: Data(contentsOf: URL(filePath: "\(folder)/config.json")))
        let text = #"{"_class_name": "WanModel", "dim": \#(sizes.num_attention_heads * sizes.attention_head_dim), "num_heads": \#(sizes.num_attention_heads), "eps": \#(sizes.eps), "qk_norm": true}"#
        try Data(text.utf8).write(to: URL(filePath: "\(target)/config.json"))
        let result = try NetworkEvaluation.evaluate(model: target, inputs: inputs)["sample"]
        #expect(result?.array == expected?.array)
    }

    /// Sizes may be a mistake: 40 layers of 5120 would be 60 GB of zeros.
    @Test("layers that the files do not have take no memory")
    func missingLayers() throws {
        let folder = Self.tests.appending(path: "Fixtures/Published/wan_transformer_t2v").path
        let target = FileManager.default.temporaryDirectory.appending(path: "missing-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: target) }
        try FileManager.default.copyItem(atPath: folder, toPath: target)
        try Data(#"{"_class_name": "WanTransformer3DModel", "num_layers": 40, "in_channels": 4}"#.utf8).write(to: URL(filePath: "\(target)/config.json"))
        let error = #expect(throws: WeightError.self) { _ = try WanTransformer(WeightStore(path: target)) }
        #expect(error?.message.contains("expected") == true && error?.message.contains("more") == true, "\(error?.message ?? "")")
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let peak = status.firstMatch(of: /VmHWM:\s+(\d+) kB/).flatMap { Int($0.1) }
        #expect(try #require(peak) < 8 << 20)
        try Data(#"{"_class_name": "WanTransformer3DModel", "num_layers": 1000000}"#.utf8).write(to: URL(filePath: "\(target)/config.json"))
        #expect { _ = try WanTransformer(WeightStore(path: target)) } throws: { "\($0)".contains("num_layers is 1000000") }
    }
}
