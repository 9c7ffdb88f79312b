import Foundation
import Safetensors
import Testing

@testable import Tensors

/// What an adapter adds to weights of zeros, and what is said of one that cannot be used.
struct LowRankAdapterTests {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "adapters-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func write(_ name: String, _ tensors: [String: ([Float], [Int])], metadata: [String: String] = [:]) throws -> String {
        let path = folder.appending(path: name).path
        unlink(path)
        let writer = try SafetensorsWriter(path: path, metadata: metadata)
        for (key, value) in tensors.sorted(by: { $0.key < $1.key }) { try writer.write(key, value.0, shape: value.1) }
        try writer.finish(sync: false)
        return path
    }

    /// What a pair of rank 4, whose product is 1, adds to two modules; or the error.
    private func added(
        _ file: String = "adapter_model.safetensors", configuration: String? = nil, metadata: [String: String] = [:], alpha: Float? = nil, up: Float = 1,
        weight: Float = 1
    ) throws -> String {
        let model = try write("model.safetensors", ["blocks.0.q.weight": ([0, 0], [1, 2]), "blocks.1.q.weight": ([0, 0], [1, 2])])
        var tensors: [String: ([Float], [Int])] = [:]
        for module in ["base_model.model.blocks.0.q", "base_model.model.blocks.1.q"] {
            tensors["\(module).lora_A.weight"] = ([1, 1, 0, 0, 0, 0, 0, 0], [4, 2])
            tensors["\(module).lora_B.weight"] = ([up, 0, 0, 0], [1, 4])
            if let alpha { tensors["\(module).alpha"] = ([alpha], [1]) }
        }
        if let configuration { try Data(configuration.utf8).write(to: folder.appending(path: "adapter_config.json")) }
        do {
            let adapter = try LowRankAdapter(path: write(file, tensors, metadata: metadata), weight: weight)
            let store = try WeightStore(path: model, adapters: [adapter])
            let values = (0..<2).map { store.tensor("blocks.\($0).q.weight", shape: [1, 2]).array[0] }
            try store.finish()
            return "\(values)"
        } catch { return "\(error)".replacingOccurrences(of: folder.path, with: "…") }
    }

    @Test("PEFT's hyperparameters beside the file", arguments: [
        (#"{"peft_type": "LORA", "r": 4, "lora_alpha": 16, "use_dora": false, "velora_config": null}"#, "[4.0, 4.0]"),
        (#"{"lora_alpha": 16, "use_rslora": true}"#, "[8.0, 8.0]"),
        (#"{"lora_alpha": 4, "alpha_pattern": {"1.q": 8}, "rank_pattern": {"q": 4}}"#, "[1.0, 2.0]"),
        (#"{"lora_alpha": 4, "alpha_pattern": {"blocks\\.[0-9]\\.q": 12, "0.q": 20}}"#, "[5.0, 3.0]"),
        ("{}", "[2.0, 2.0]"),
        (#"{"lora_alpha": "16"}"#, "…/adapter_config.json: 'lora_alpha' is 16, a number expected"),
        (#"{"peft_type": "LOHA"}"#, "…/adapter_config.json: peft_type is LOHA; LORA can be merged"),
        (#"{"use_dora": true}"#, "…/adapter_config.json: is a DoRA, which cannot be merged; LoRA can"),
        (#"{"use_qalora": true, "kasa_config": {}}"#, "…/adapter_config.json: 'use_qalora', 'kasa_config': such an adapter cannot be merged; plain LoRA can"),
        (#"{"init_lora_weights": "pissa_niter_4"}"#,
            "…/adapter_config.json: init_lora_weights is 'pissa_niter_4', which changes the model's own weights; convert the adapter to a plain LoRA"),
        ("[", "…/adapter_config.json: is not a JSON object"),
    ])
    func peft(_ configuration: String, _ expected: String) throws { #expect(try added(configuration: configuration) == expected) }

    @Test("what the file itself says goes first, and other files have no neighbour") func precedence() throws {
        let beside = #"{"lora_alpha": 16}"#
        #expect(try added(configuration: beside, alpha: 8) == "[2.0, 2.0]")
        #expect(try added(configuration: beside, metadata: ["lora_adapter_metadata": #"{"transformer.lora_alpha": 12}"#]) == "[3.0, 3.0]")
        #expect(try added("other.safetensors", configuration: beside) == "[1.0, 1.0]")
    }

    @Test("alpha may be an integer") func integerAlpha() throws {
        let model = try write("model.safetensors", ["q.weight": ([0, 0], [1, 2])])
        func added(_ write: (SafetensorsWriter) throws -> Void) throws -> Float {
            let path = folder.appending(path: "integer.safetensors").path
            unlink(path)
            let writer = try SafetensorsWriter(path: path)
            try writer.write("q.lora_down.weight", [1, 0, 0, 0] as [Float], shape: [2, 2])
            try writer.write("q.lora_up.weight", [1, 0] as [Float], shape: [1, 2])
            try write(writer)
            try writer.finish(sync: false)
            let store = try WeightStore(path: model, adapters: [LowRankAdapter(path: path)])
            defer { try? store.finish() }
            return store.tensor("q.weight", shape: [1, 2]).array[0]
        }
        #expect(try added { try $0.write("q.alpha", [6] as [Int64], shape: []) } == 3)
        #expect(try added { try $0.write("q.alpha", [6] as [Int32], shape: [1]) } == 3)
        #expect(try added { try $0.write("q.alpha", [6] as [UInt8], shape: []) } == 3)
        #expect(try added { try $0.write("q.alpha", [6] as [Double], shape: []) } == 3)
    }

    @Test("NaN and infinity are blamed on the adapter's file") func damage() throws {
        let key = "base_model.model.blocks.0.q"
        #expect(try added("a.lora", up: .nan).contains("LoRA …/a.lora: tensor '\(key).lora_B.weight' holds NaN or infinity; the file is damaged"))
        #expect(try added("a.lora", alpha: .nan).contains("…/a.lora: LoRA key '\(key).alpha' is nan; the file is damaged"))
        #expect(try added("a.lora", up: 3e38, weight: 3e38).contains("tensor 'blocks.0.q.weight' holds NaN or infinity with the LoRA added"))
        #expect(try added("a.lora", weight: .infinity) == "…/a.lora: the weight of a LoRA must be a finite number, not inf")
    }
}
