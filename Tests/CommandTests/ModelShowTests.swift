import Foundation
import Testing

/// `model show` on a pipeline and on what it consists of besides networks.
struct ModelShowTests {
    private let scheduler = #"{"_class_name": "UniPCMultistepScheduler", "flow_shift": 3.0, "prediction_type": "flow_prediction", "use_flow_sigmas": true}"#

    @Test func partsThatAreNoNetworks() throws {
        let program = try Program()
        try program.write(scheduler, to: "pipe/scheduler/scheduler_config.json")
        try program.write(#"{"image_processor_type": "CLIPImageProcessor"}"#, to: "pipe/image_processor/preprocessor_config.json")
        try program.write(#"{"model": {"type": "Unigram", "vocab": [["a", 0], ["b", -1]]}, "added_tokens": []}"#, to: "pipe/tokenizer/tokenizer.json")
        try program.write(#"{"_class_name": "DDIMScheduler"}"#, to: "unknown/scheduler_config.json")
        try program.write(#"{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true}"#, to: "other/scheduler_config.json")
        try FileManager.default.createSymbolicLink(atPath: "\(program.folder)/pipe/vae", withDestinationPath: "\(Program.root)/Examples/models/vae")
        func parts(_ more: String) -> String {
            """
            {"_class_name": "P", "boundary_ratio": 0.9, "scheduler": ["diffusers", "UniPCMultistepScheduler"], "vae": "BlockVAE", "text_encoder": [null, null],
             "tokenizer": ["transformers", "T5TokenizerFast"], "image_processor": ["transformers", "CLIPImageProcessor"]\(more)}
            """
        }
        try program.write(parts(#", "transformer": ["diffusers", "WanTransformer3DModel"]"#), to: "pipe/model_index.json")
        let whole = try program.run(["model", "show", "pipe"])
        let lines = whole.output.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        try #require(whole.status == 0 && lines.count == 6, "\(whole.output)\(whole.errors)")
        #expect(lines[0].hasPrefix("vae BlockVAE 2151840 parameters 4.3 MB on disk 8.6 MB in single precision"))
        #expect(lines[1] == "image_processor CLIPImageProcessor prepares pictures")
        #expect(lines[2] == "scheduler UniPCMultistepScheduler scheduler: flow matching with shift 3.0, 1000 timesteps, order 2")
        #expect(lines[3] == "tokenizer tokenizer tokenizer of 2 pieces")
        #expect(lines[4] == "transformer WanTransformer3DModel pipe/transformer: does not exist; a model folder or a .safetensors file is needed")
        #expect(lines[5].hasPrefix("4.3 MB on disk"))

        // One of them: what it is, and its file.
        let one = try program.run(["model", "show", "pipe/scheduler"])
        #expect(one.status == 0 && one.output.hasPrefix("UniPCMultistepScheduler  scheduler: flow matching") && one.output.contains(scheduler), "\(one.output)\(one.errors)")
        #expect(try program.run(["model", "show", "pipe/tokenizer"]).output.hasPrefix("tokenizer  tokenizer of 2 pieces\n"))
        #expect(try program.run(["model", "show", "pipe/image_processor"]).output.hasPrefix("CLIPImageProcessor  prepares pictures\n"))
        try program.write(#"{"width": 832, "height": 480, "motion_encoder_size": 512}"#, to: "canvas/config.json")
        #expect(try program.run(["model", "show", "canvas"]).output.hasPrefix("Wan-Animate  prepares films of 832×480 and faces of 512 pixels\n"))
        let other = try program.run(["model", "show", "other"])
        #expect(try program.run(["model", "show", "unknown"]).output.hasPrefix("DDIMScheduler  scheduler, which is not known; UniPC"))
        #expect(other.status == 0 && other.output.hasPrefix("EulerDiscreteScheduler  scheduler, which cannot be used: 'use_karras_sigmas'"), "\(other.output)")
    }

    @Test func sizesThatTheNetworkDoesNotTakeAreRefused() throws {
        let program = try Program()
        let result = try program.run(["model", "show", "\(Program.root)/Tests/Fixtures/Configurations/wan_t2v", "--size", "1281x7"])
        #expect(result.status == 2 && result.errors.contains("multiples of 16 pixels, not 1281×7") && result.output.isEmpty, "\(result.output)\(result.errors)")
    }

    @Test func whatHoldsNothingIsAnError() throws {
        let program = try Program()
        try program.write("[]", to: "list/model_index.json")
        try program.write("x", to: "empty/readme")
        try FileManager.default.copyItem(atPath: "\(Program.root)/Tests/Fixtures/Configurations/wan_t2v", toPath: "\(program.folder)/broken")
        try program.write(#"{"a":"#, to: "broken/config.json")
        for (path, said) in [("broken", "broken/config.json: the configuration is not whole"), ("list", "is not a pipeline's index"), ("empty", "holds no .safetensors file"), ("none", "does not exist")] {
            let result = try program.run(["model", "show", path])
            #expect(result.status == 1 && result.errors.contains(said), "\(result.output)\(result.errors)")
        }
    }
}
