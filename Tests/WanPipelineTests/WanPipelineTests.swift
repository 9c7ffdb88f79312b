import Engine
import Foundation
import GraphKit
import NodeCatalog
import NodeKit
import NodeTesting
import Safetensors
import Testing

/// `Graphs/wan-animate.yaml` and its overlays as a user runs them, on the reference's whole pipelines (diffusers, see each `case.json`).
struct WanPipelineTests {
    let bench: NodeBench
    init() throws { bench = try NodeBench() }

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    private static let catalogue: [NodeType: NodeDefinition] = {
        var catalogue: [NodeType: NodeDefinition] = [:]
        for definition in NodeCatalog.definitions { catalogue[definition.description.type] = definition }
        return catalogue
    }()

    private static func fixture(_ name: String) -> String { "\(root)/Tests/Fixtures/Published/\(name)" }

    private func load(_ graph: String, _ overlays: [String], settings: [String] = [], inputs: [String]) -> (Graph?, [String]) {
        let (graph, diagnostics) = Graph.load(
            GraphRequest(
                path: "\(Self.root)/Graphs/\(graph).yaml", overlays: overlays.map { "\(Self.root)/Graphs/wan/\($0).yaml" }, settings: settings,
                inputs: inputs),
            catalogue: Self.catalogue.mapValues(\.description))
        return (graph, diagnostics.sorted.map(\.message))
    }

    private func run(_ graph: String, _ overlays: [String], settings: [String] = [], inputs: [String]) throws -> [String: [String]] {
        let (loaded, messages) = load(graph, overlays, settings: settings, inputs: inputs)
        let graph = try #require(loaded, "\(messages)")
        var options = RunOptions(threads: 2)
        options.outputFolder = try bench.makeFolder()
        let store = try CacheStore(root: bench.makeFolder())
        let summary = try UnderstudyEngine(store: store, catalogue: Self.catalogue).run(graph, options: options)
        try #require(summary.failures.isEmpty, "\(summary.failures.map(\.message))")
        return summary.outputs
    }

    /// The files of a case as inputs of the graph, and its settings.
    private func animate(_ name: String, settings: [String] = []) throws -> [String: [String]] {
        let folder = Self.fixture(name), tensors = "\(folder)/inputs.safetensors"
        let replaces = name.contains("replace")
        var inputs = ["model=\(folder)"] + ["reference", "pose", "face", "tensors"].map { "\($0)=\(tensors)" }
        if replaces { inputs += ["background=\(tensors)", "mask=\(tensors)"] }
        return try run(
            "wan-animate", (replaces ? ["replace"] : []) + ["controls", "tensors"],
            settings: ["segments.with.frames=5", "animate.with.steps=4", "animate.with.guidance.prompt=\(replaces ? 2 : 1)"] + settings,
            inputs: inputs)
    }

    private func frames(_ outputs: [String: [String]]) throws -> Video {
        try Video(artifact: bench.file(try #require(outputs["frames"]?.first), type: .video))
    }

    @Test("whole pipelines of two segments give the reference's frames", arguments: ["pipeline_wan_animate", "pipeline_wan_animate_replace_cfg"])
    func parity(_ name: String) throws {
        let film = try frames(animate(name))
        let expected = try SafetensorsFile(path: "\(Self.fixture(name))/outputs.safetensors")
        let largest = try greyLevels(film, expected)
        #expect(largest < 0.51, "\(largest) grey levels")
    }

    /// How `Tests/Parity/pipelines.py` says that a case of it is run.
    private struct Call: Decodable {
        var graph: String, overlays, settings, inputs: [String]
    }

    @Test(
        "whole films of a prompt, of a picture, and of a driving clip give the reference's latents and frames",
        arguments: ["pipeline_wan_t2v", "pipeline_wan_i2v", "pipeline_wan_ti2v", "pipeline_wan_animate_2"])
    func video(_ name: String) throws {
        let folder = Self.fixture(name)
        let call = try JSONDecoder().decode(Call.self, from: Data(contentsOf: URL(filePath: "\(folder)/graph.json")))
        let outputs = try run(
            call.graph, call.overlays, settings: call.settings + ["outputs.latents=animate.latent"],
            inputs: ["model=\(folder)"] + call.inputs.map { "\($0)=\(folder)/inputs.safetensors" })
        let expected = try SafetensorsFile(path: "\(folder)/outputs.safetensors")
        let last = try Latent(artifact: bench.file(try #require(outputs["latents"]?.last), type: .latent)).grid.values
        let latents = try expected.array("latents", of: Float.self, shape: [1, -1, -1, -1, -1])
        try #require(last.count == latents.count)
        let error = zip(last, latents).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        let relative = (error / latents.reduce(0.0) { $0 + Double($1 * $1) }).squareRoot()
        #expect(relative < 2e-5, "\(relative)")
        #expect(try greyLevels(frames(outputs), expected) < 0.51)
    }

    /// The largest difference of a film from frames `[1, F, 3, H, W]` of 0 … 1. Rounding to bytes alone makes 0.5.
    private func greyLevels(_ film: Video, _ expected: SafetensorsFile) throws -> Float {
        let values = try expected.array("frames", of: Float.self, shape: [1, film.count, 3, film.height, film.width])
        let plane = film.width * film.height
        var largest: Float = 0
        for frame in 0..<film.count {
            for (index, byte) in film.frame(frame).enumerated() {
                let value = values[(frame * 3 + index % 3) * plane + index / 3] * 255
                largest = max(largest, abs(value - Float(byte)))
            }
        }
        return largest
    }

    @Test("hand-over in latents decodes as one stream; both hand-overs' joins are measured")
    func latentHandover() throws {
        func drift(_ outputs: [String: [String]]) throws -> Table {
            try Table(artifact: bench.file(try #require(outputs["drift"]?.first), type: .table))
        }
        let pixel = try animate("pipeline_wan_animate"), latent = try animate("pipeline_wan_animate", settings: ["animate.with.handover=latent"])
        let (a, b) = (try frames(pixel), try frames(latent))
        #expect(b.count == 8)
        // The first segment is the same; what follows it is not.
        #expect((0..<5).allSatisfy { a.frame($0) == b.frame($0) })
        #expect(a.frame(5) != b.frame(5))
        for outputs in [pixel, latent] {
            let table = try drift(outputs)
            #expect(table.labels.first == "join 1" && table.values[0][0] == 5)
        }
    }

    @Test("a network that a node does not know is refused by name")
    func unknownNetworks() throws {
        let folder = Self.fixture("pipeline_wan_animate"), tensors = "\(folder)/inputs.safetensors"
        let (graph, messages) = load(
            "wan-animate", ["controls", "tensors"], settings: ["segments.with.frames=5"],
            inputs: ["model=\(Self.fixture("umt5_encoder"))"] + ["reference", "pose", "face", "tensors"].map { "\($0)=\(tensors)" })
        let loaded = try #require(graph, "\(messages)")
        let summary = try UnderstudyEngine(store: CacheStore(root: bench.makeFolder()), catalogue: Self.catalogue)
            .run(loaded, options: RunOptions(threads: 2))
        let text = summary.failures.map(\.message).joined()
        #expect(text.contains("UMT5EncoderModel"), "\(text)")
    }

    @Test("films that inputs and network do not agree on are refused, saying what to wire")
    func wrongVideos() throws {
        func failure(_ name: String, _ overlays: [String], _ inputs: [String], _ settings: [String]) throws -> String {
            let folder = Self.fixture(name)
            let (graph, messages) = load(
                "wan-video", overlays, settings: ["animate.with.steps=1", "animate.with.frames=5"] + settings,
                inputs: ["model=\(folder)"] + inputs.map { "\($0)=\(folder)/inputs.safetensors" })
            let loaded = try #require(graph, "\(messages)")
            let summary = try UnderstudyEngine(store: CacheStore(root: bench.makeFolder()), catalogue: Self.catalogue)
                .run(loaded, options: RunOptions(threads: 2))
            return summary.failures.map(\.message).joined()
        }
        let text = try failure("pipeline_wan_i2v", ["tensors"], ["tensors"], ["animate.with.size=32x32"])
        #expect(text.contains("wire 'firstPicture'"), "\(text)")
        let blind = try failure("pipeline_wan_i2v", ["image", "tensors"], ["picture", "tensors"], ["begin.with.size=32x48"])
        #expect(blind.contains("wire 'image'"), "\(blind)")
        let size = try failure("pipeline_wan_t2v", ["tensors"], ["tensors"], ["animate.with.size=40x24"])
        #expect(size.contains("both sides must be multiples of 16;"), "\(size)")
        let alone = ["animate.with.size=64x32", "animate.with.guidance.prompt=2"]
        let boundary = try failure("pipeline_wan_ti2v", ["tensors"], ["tensors"], alone + ["animate.with.boundary=0.5"])
        #expect(boundary.contains("boundary: 0.5 divides the noise levels between two networks: wire 'lowNoiseModel'"), "\(boundary)")
        let low = try failure("pipeline_wan_ti2v", ["tensors"], ["tensors"], alone + ["animate.with.guidance.lowNoise=2"])
        #expect(low.contains("'guidance.lowNoise' is for models of two networks"), "\(low)")
        let frames = try failure("pipeline_wan_t2v", ["tensors"], ["tensors"], ["animate.with.size=48x32", "animate.with.frames=7"])
        #expect(frames.contains("a segment of 7 frames, 1 + 4k expected: set frames: 5 or 9"), "\(frames)")
    }

    @Test("networks of their own, two of them, make the film of the pipeline's folder")
    func files() throws {
        let folder = Self.fixture("pipeline_wan_t2v"), any = "\(folder)/inputs.safetensors"
        let call = try JSONDecoder().decode(Call.self, from: Data(contentsOf: URL(filePath: "\(folder)/graph.json")))
        let scheduler = try String(contentsOfFile: "\(folder)/scheduler/scheduler_config.json", encoding: .utf8)
        let shift = try #require(scheduler.firstMatch(of: /"flow_shift": ([0-9.]+)/)).1
        let film = try frames(
            run(
                "wan-video", ["files/video", "files/low-noise", "tensors"],
                settings: call.settings + ["animate.with.shift=\(shift)", "animate.with.boundary=0.9"],
                inputs: [
                    "model=\(folder)/transformer", "low_noise=\(folder)/transformer_2", "vae=\(folder)/vae", "text_encoder=\(any)", "tokenizer=\(any)", "tensors=\(any)",
                ]))
        #expect(try greyLevels(film, SafetensorsFile(path: "\(folder)/outputs.safetensors")) < 0.51)
    }

    @Test("segments are generated as they were planned, and what is meant for another network is refused")
    func settings() throws {
        func failure(_ settings: String...) throws -> String {
            let folder = Self.fixture("pipeline_wan_animate")
            let (graph, messages) = load(
                "wan-animate", ["controls", "tensors"],
                settings: ["segments.with.frames=5", "animate.with.steps=1", "animate.in.noise=null"] + settings,
                inputs: ["model=\(folder)"] + ["reference", "pose", "face", "tensors"].map { "\($0)=\(folder)/inputs.safetensors" })
            let loaded = try #require(graph, "\(messages)")
            return try UnderstudyEngine(store: CacheStore(root: bench.makeFolder()), catalogue: Self.catalogue)
                .run(loaded, options: RunOptions(threads: 2)).failures.map(\.message).joined()
        }
        func expect(_ message: String, _ said: String, _ location: SourceLocation = #_sourceLocation) { #expect(message.contains(said), "\(message)", sourceLocation: location) }
        #expect(try failure("animate.with.overlap=1") == "")
        #expect(try failure("segments.with.frames=9", "segments.with.overlap=5", "animate.with.overlap=5") == "")
        expect(try failure("animate.with.overlap=5"), "a segment of 5 frames cannot share 5")
        expect(try failure("segments.with.overlap=3", "animate.with.overlap=1"), "overlap: 1, but the segments were planned with overlap: 3")
        expect(try failure("segments.with.overlap=3"), "segments that share 3 frames: 1, 5 or another 1 + 4k expected")
        expect(try failure("animate.with.size=32x32"), "a WanAnimateTransformer3DModel has no use for 'size', which is for WanTransformer3DModel")
        expect(try failure("animate.with.boundary=0.5"), "has no use for 'boundary'")
        expect(try failure("animate.with.guidance.motion=3"), "has no use for 'guidance.motion', which is for DreamActorTransformer")
    }

    @Test("every combination of overlays is a whole graph")
    func overlays() {
        let any = "\(Self.fixture("pipeline_wan_animate"))/inputs.safetensors"
        let model = "model=\(Self.fixture("pipeline_wan_animate"))"
        let base = [model, "reference=\(any)", "driving=\(any)"]
        let controls = ["pose=\(any)", "face=\(any)"], replace = ["background=\(any)", "mask=\(any)"]
        let files = ["vae", "text_encoder", "tokenizer", "image_encoder"].map { "\($0)=\(any)" }
        for (overlays, inputs) in [
            (["network"], base), (["network", "in-place"], base), (["network", "replace"], base + replace), (["controls"], base + controls),
            (["replace", "controls"], base + replace + controls), (["network", "tensors"], base + ["tensors=\(any)"]),
            (["files/animate", "network", "lora"], base + files + ["lora=\(any)"]),
            (["files/animate", "replace", "controls", "tensors"], base + files + replace + controls + ["tensors=\(any)"]),
        ] {
            let (graph, messages) = load("wan-animate", overlays, inputs: inputs)
            #expect(graph != nil, "\(overlays): \(messages)")
        }
        for (graph, overlays, inputs) in [
            ("wan-video", ["image", "clip", "last", "files/video", "files/clip", "files/low-noise", "lora", "tensors"], ["picture", "end", "low_noise", "lora", "tensors"]),
            ("wan-animate-2", ["files/animate-2", "lora", "tensors"], ["reference", "driving", "lora", "tensors"]),
        ] {
            let (loaded, messages) = load(graph, overlays, inputs: [model] + files + inputs.map { "\($0)=\(any)" })
            #expect(loaded != nil, "\(graph) \(overlays): \(messages)")
        }
    }

    @Test("control clips that are written are read")
    func controls() throws {
        let mira = "\(Self.root)/Examples/mira"
        let clips = try run(
            "export-controls", ["network"], settings: ["frames.with.end=0.25"],
            inputs: ["reference=\(mira)/reference.png", "driving=\(mira)/driving.mp4"])
        for name in ["src_pose", "src_face", "src_mask", "src_bg"] { #expect(clips[name]?.count == 1, "\(name)") }
        func path(_ name: String) throws -> String { try #require(clips[name]?.first) }
        let tensors = "\(Self.fixture("pipeline_wan_animate"))/inputs.safetensors"
        let film = try frames(
            run(
                "wan-animate", ["replace", "controls", "tensors"],
                settings: ["segments.with.frames=9", "animate.with.steps=1", "animate.in.noise=null", "canvas.with.size=48x48"],
                inputs: [
                    "model=\(Self.fixture("pipeline_wan_animate"))", "reference=\(mira)/reference.png", "pose=\(try path("src_pose"))",
                    "face=\(try path("src_face"))", "background=\(try path("src_bg"))", "mask=\(try path("src_mask"))", "tensors=\(tensors)",
                ]))
        #expect(film.count == 8 && film.width == 48)
    }
}
