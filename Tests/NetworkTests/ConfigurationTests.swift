import Foundation
import Safetensors
import Tensors
import Testing

@testable import Models

/// Other sizes than those of `Fixtures/Published`, weights in bf16 and 8 bits, and LoRA, against diffusers and transformers
/// (`Tests/Parity/make_configuration_fixtures.py`).
@Suite("Networks of random sizes equal their reference implementations")
struct ConfigurationTests {
    private func folder(_ name: String) -> String {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return tests.appending(path: "Fixtures/Configurations/\(name)").path
    }

    private func evaluate(_ name: String, adapters: [LowRankAdapter] = [], residentLimit: Int? = nil) throws -> [String: Tensor] {
        try NetworkEvaluation.evaluate(
            model: folder(name), adapters: adapters, residentLimit: residentLimit,
            inputs: SafetensorsFile(path: "\(folder(name))/inputs.safetensors"))
    }

    private func expectEqual(_ actual: Tensor?, _ name: String, in file: SafetensorsFile) throws {
        let expected = try Tensor(file, name), actual = try #require(actual, "\(name)")
        try #require(actual.shape == expected.shape, "\(name)")
        let errors = zip(actual.array, expected.array).map { Double($0 - $1) }
        let power = expected.array.reduce(0) { $0 + Double($1) * Double($1) }
        let relative = (errors.reduce(0) { $0 + $1 * $1 } / power).squareRoot()
        #expect(relative < 1e-5, "\(name): relative error \(relative)")
    }

    @Test(arguments: ["wan_t2v", "wan_animate", "wan_animate_2", "clip", "umt5", "wav2vec2", "masked_umt5", "masked_wav2vec2"])
    func network(_ name: String) throws {
        let expected = try SafetensorsFile(path: "\(folder(name))/outputs.safetensors")
        let results = try evaluate(name)
        for output in expected.tensors.keys.sorted() { try expectEqual(results[output], output, in: expected) }
        let streamed = try evaluate(name, residentLimit: 0)
        for (output, value) in results {
            let isSame = streamed[output]?.array == value.array
            #expect(isSame, "\(output): other bytes from disk")
        }
    }

    @Test("original names, 8 bits with scales, half precision; two LoRAs in two styles")
    func stored() throws {
        let expected = try SafetensorsFile(path: "\(folder("stored"))/outputs.safetensors")
        try expectEqual(try evaluate("stored")["sample"], "sample", in: expected)
        let adapters = [
            try LowRankAdapter(path: "\(folder("stored"))/kohya.lora", weight: 0.8),
            try LowRankAdapter(path: "\(folder("stored"))/peft.lora", weight: -0.5),
        ]
        let merged = try evaluate("stored", adapters: adapters)["sample"]
        try expectEqual(merged, "sample_with_adapters", in: expected)
        let isSame = try evaluate("stored", adapters: adapters, residentLimit: 0)["sample"]?.array == merged?.array
        #expect(isSame, "other bytes from disk")
    }

    @Test("keys of an adapter that fit nothing are named, with the file")
    func wrongAdapters() throws {
        func message(_ tensors: [String: [Int]]) throws -> String {
            let path = FileManager.default.temporaryDirectory.appending(path: "adapter-\(UUID().uuidString).safetensors").path
            defer { try? FileManager.default.removeItem(atPath: path) }
            let writer = try SafetensorsWriter(path: path)
            for (name, shape) in tensors.sorted(by: { $0.key < $1.key }) {
                try writer.write(name, [Float](repeating: 1, count: shape.reduce(1, *)), shape: shape)
            }
            _ = try writer.finish(sync: false)
            do {
                var notes = ""
                _ = try NetworkEvaluation.evaluate(
                    model: folder("stored"), adapters: [LowRankAdapter(path: path)], inputs: SafetensorsFile(path: "\(folder("stored"))/inputs.safetensors"),
                    note: { notes += $0.replacing("LoRA \(path):", with: ";") })
                return "no error" + notes
            } catch { return "\(error)" }
        }
        let weights = try WeightStore(path: folder("stored"))
        let shape = try #require(weights.shape("blocks.0.self_attn.q.weight"))
        let (up, down) = ([shape[0], 2], [2, shape[1]])
        #expect(try message(["blocks.0.attn1.to_q.lora_A.weight": down, "blocks.0.attn1.to_q.lora_B.weight": up]) == "no error")
        #expect(try message(["blocks.9.attn1.to_q.lora_A.weight": down, "blocks.9.attn1.to_q.lora_B.weight": up]).contains("'blocks.9.attn1.to_q.lora_A.weight' fits no weight"))
        #expect(try message(["blocks.0.attn1.to_q.lora_A.weight": [2, 3], "blocks.0.attn1.to_q.lora_B.weight": up]).contains("'blocks.0.attn1.to_q.lora_A.weight' has shape [2, 3]"))
        #expect(try message(["blocks.0.attn1.to_q.lora_A.weight": down]).contains("lacks the other half"))
        #expect(try message(["transformer.blocks.0.attn1.to_q.hada_w1_a": down]).contains("'transformer.blocks.0.attn1.to_q.hada_w1_a'"))
        #expect(try message(["blocks.0.attn1.to_q.diff": shape, "something": [1]]).contains("'something' is of no known style"))
        // Of what sees pictures, which this network lacks, the rest is applied without it.
        let blind = ["blocks.0.attn1.to_q.lora_A.weight": down, "blocks.0.attn1.to_q.lora_B.weight": up, "blocks.0.cross_attn.k_img.diff": shape]
        #expect(try message(blind) == "no error; 1 of its 2 modules see pictures by CLIP, which this network does not: left out")
    }

    @Test("sounds of a batch as transformers takes them, one by one to the same numbers")
    func sounds() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).safetensors").path
        defer { unlink(path) }
        let one = try evaluate("masked_wav2vec2"), values = try #require(one["input_values"])
        let mask = try SafetensorsFile(path: "\(folder("masked_wav2vec2"))/inputs.safetensors")
        let writer = try SafetensorsWriter(path: path)
        try writer.write("input_values", values.array + values.array.reversed() + values.array, shape: [3, values.count])
        let ones = try mask.array("attention_mask", of: Int64.self)
        try writer.write("attention_mask", ones + ones.map { _ in 1 } + ones, shape: [3, values.count])
        try writer.finish(sync: false)
        let batch = try NetworkEvaluation.evaluate(model: folder("masked_wav2vec2"), inputs: SafetensorsFile(path: path))
        for (name, expected) in one {
            let actual = try #require(batch[name])
            #expect(actual.shape == [3] + expected.shape.dropFirst(), "\(name)")
            for row in [0, 2] {
                let isSame = actual.selected(0, row).array == expected.array
                #expect(isSame, "\(name), row \(row)")
            }
        }
    }
}
