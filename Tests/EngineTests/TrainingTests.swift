import ActorNode
import Foundation
import GraphKit
import NodeKit
import TensorFilesNode
import Testing

@testable import Engine

/// The training nodes as manifests: nothing here needs PyTorch.
@Suite struct TrainingTests {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// A copy of `Nodes/Train` in a workshop.
    private func copy() throws -> (shop: Workshop, folder: String) {
        let shop = try Workshop()
        let folder = "\(shop.folder)/Train"
        try FileManager.default.copyItem(atPath: root.appending(path: "Nodes/Train").path, toPath: folder)
        return (shop, folder)
    }

    private func discover(_ folder: String, _ shop: Workshop) -> (nodes: [ExternalNode], problems: [String]) {
        ExternalNode.discover(in: [folder], environments: CacheStore.environments(root: shop.storePath))
    }

    @Test func trainingGraphFitsItsNodes() throws {
        let (shop, folder) = try copy()
        let (nodes, problems) = discover(folder, shop)
        #expect(problems.isEmpty, "\(problems)")
        var catalogue: [NodeType: NodeDescription] = [:]
        for native in [NodeDefinition(ActorDataset.self), NodeDefinition(TableSave.self)] {
            catalogue[native.description.type] = native.description
        }
        for node in nodes { catalogue[node.manifest.description.type] = node.manifest.description }
        let path = root.appending(path: "Graphs/train.yaml").path
        let (graph, diagnostics) = Graph.load(GraphRequest(path: path, overlays: [], settings: [], inputs: []), catalogue: catalogue)
        #expect(diagnostics.all.isEmpty, "\(diagnostics.sorted.map(\.message))")
        #expect(graph?.nodes.filter { $0.type == "train.dit" }.count == 3)
        // They share one environment.
        #expect(Set(nodes.map(\.manifest.python)).count == 1)
    }

    /// An edit of a module must reach the keys of every stage that runs it, and of no other: training takes hours.
    @Test func keysCoverTheModulesThatAStageRuns() throws {
        let (shop, folder) = try copy()
        for node in discover(folder, shop).nodes {
            let stage = node.manifest.description.type.name.dropFirst("train.".count)
            var wanted: Set<String> = ["node", "__init__", stage == "dit" ? "stage_transformer" : "stage_\(stage)"]
            var open = Array(wanted)
            while let module = open.popLast() {
                let path = module == "node" ? "\(folder)/node.py" : "\(folder)/understudy_train/\(module).py"
                for name in imports(try String(contentsOfFile: path, encoding: .utf8)) where wanted.insert(name).inserted { open.append(name) }
            }
            let listed = Set(node.manifest.sources.map { ($0 as NSString).lastPathComponent }.map { String($0.dropLast(3)) })
            #expect(listed == wanted, "\(node.manifest.folder)/node.yaml")
        }
        func digests() throws -> [String: Digest] {
            Dictionary(uniqueKeysWithValues: discover(folder, shop).nodes.map { ($0.manifest.description.type.name, $0.codeDigest) })
        }
        func edited(_ file: String) throws -> Set<String> {
            let before = try digests()
            let path = "\(folder)/understudy_train/\(file)"
            try Data((try String(contentsOfFile: path, encoding: .utf8) + "\n# edited\n").utf8).write(to: URL(fileURLWithPath: path))
            return Set(try digests().filter { before[$0.key] != $0.value }.keys)
        }
        #expect(try edited("stage_audio.py") == ["train.audio"])
        #expect(try edited("sampling.py") == ["train.dit", "train.audio", "train.evaluate"])
        #expect(try edited("training.py").count == 7)
        try FileManager.default.removeItem(atPath: "\(folder)/understudy_train/stage_vae.py")
        let problem = try #require(discover(folder, shop).problems.first { $0.contains("vae/node.yaml:") })
        #expect(problem.contains("there is no '../understudy_train/stage_vae.py'"))
    }

    /// The package's modules that a module imports when it is loaded.
    private func imports(_ text: String) -> [String] {
        text.split(separator: "\n").flatMap { line -> [String] in
            let words = line.split(whereSeparator: { " ,".contains($0) }).map(String.init)
            guard line.hasPrefix("from "), words.count > 3 else { return [] }
            if words[1] == "." { return Array(words[3...]) }
            if words[1].hasPrefix(".") { return [String(words[1].dropFirst())] }
            return words[1].hasPrefix("understudy_train.") ? [String(words[1].dropFirst("understudy_train.".count))] : []
        }
    }

    /// Saves what it has and is ended, then goes on from there; the second time it leaves a model.
    private let program = #"""
        import json, os, signal, struct, sys, time
        request = json.load(open(sys.argv[1]))
        folder = request["checkpoint"]
        saved = os.path.join(folder, "saved")
        if not os.path.exists(saved):
            def save(*_):
                time.sleep(2.5)
                open(saved, "w").write("half")
                sys.exit(130)
            os.makedirs(folder, exist_ok=True)
            if request["parameters"]["how"] == "killed":
                open(saved, "w").write("half")
                os.kill(os.getpid(), signal.SIGKILL)
            signal.signal(signal.SIGTERM, save)
            print(json.dumps({"progress": {"done": 1, "total": 2}}), flush=True)
            time.sleep(600)
        header = json.dumps({"__metadata__": {"config": json.dumps({"_class_name": open(saved).read()})},
                             "weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        with open(request["outputs"]["model"], "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header + struct.pack("<f", 1))
        """#

    @Test(arguments: ["killed", "cancelled"])
    func goesOnFromItsCheckpointAndLeavesAModelFolder(how: String) throws {
        let shop = try Workshop()
        try FileManager.default.createDirectory(atPath: "\(shop.folder)/nodes", withIntermediateDirectories: true)
        try shop.write("nodes/train.py", program)
        try shop.write(
            "nodes/node.yaml",
            """
            type: t.train
            version: 1
            summary: Trains.
            outputs: { model: model }
            parameters: { how: { kind: string, default: killed } }
            command: [python, train.py]
            grace: 60
            """)
        let store = try CacheStore(root: shop.storePath)
        let node = try #require(discover("\(shop.folder)/nodes", shop).nodes.first)
        let engine = UnderstudyEngine(store: store, catalogue: ["t.train": node.definition])
        let view = try Workshop(catalogue: engine.catalogue, borrowed: shop.folder)
        let graph = try view.graph("nodes:\n  one: { type: t.train, with: { how: \(how) } }\noutputs: { dit: one.model }")
        let cancellation = Cancellation()
        let first = try engine.run(graph, cancellation: cancellation) { if case .progress = $0 { cancellation.cancel() } }
        #expect(first.status == (how == "killed" ? .failed : .cancelled))
        var options = RunOptions(threads: 1)
        options.outputFolder = "\(shop.folder)/out"
        let second = try engine.run(graph, options: options)
        #expect(second.status == .done, "\(second.failures)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(store.root)/checkpoints").isEmpty)
        // Exported as a Hugging Face folder, as `model` inputs take it.
        let folder = "\(shop.folder)/out/test/dit"
        #expect(second.outputs == ["dit": [folder]])
        #expect(try ModelFolder.files(at: folder) == ["\(folder)/config.json", "\(folder)/model.safetensors"])
        #expect(try String(contentsOfFile: "\(folder)/config.json", encoding: .utf8) == "{\"_class_name\": \"half\"}\n")
    }
}
