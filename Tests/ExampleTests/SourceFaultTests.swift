import Engine
import Foundation
import GraphKit
import NodeCatalog
import NodeKit
import NodeTesting
import Testing

/// A source file that changes while a node reads it is noticed, and nothing is cached under what it held before.
struct SourceFaultTests {
    /// How the file changes.
    enum Change: String, CaseIterable {
        /// Other bytes, as many as before, with the old time of modification.
        case rewritten
        case cutShort, replaced, removed
    }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    /// Every node that reads a file of the user, with a file for it.
    static let readers: [(type: String, file: String)] = [
        ("video.decode", "Examples/mira/driving.mp4"), ("audio.decode", "Examples/mira/speech.wav"),
        ("image.load", "Examples/mira/reference.png"), ("skeleton.load", "Tests/Fuzz/Corpus/openpose/body25.json"),
        ("tensor.load", "Tests/Fuzz/Corpus/safetensors/table"), ("t.bytes", "Examples/mira/speech.wav"),
    ]

    private let bench: NodeBench
    private let folder: String
    private let catalogue: [NodeType: NodeDefinition]

    init() throws {
        bench = try NodeBench()
        folder = try bench.makeFolder()
        // An external program that reads a file.
        try FileManager.default.createDirectory(atPath: "\(folder)/nodes", withIntermediateDirectories: true)
        try Data("""
            type: t.bytes
            version: 1
            summary: Copies a file.
            inputs: { file: { type: file } }
            outputs: { copy: file }
            command: [python, copy.py]
            """.utf8).write(to: URL(filePath: "\(folder)/nodes/node.yaml"))
        try Data("""
            import json, shutil, sys
            request = json.load(open(sys.argv[1]))
            shutil.copyfile(request["inputs"]["file"][0], request["outputs"]["copy"])
            """.utf8).write(to: URL(filePath: "\(folder)/nodes/copy.py"))
        var catalogue: [NodeType: NodeDefinition] = [:]
        let external = ExternalNode.discover(in: ["\(folder)/nodes"], environments: folder)
        for definition in NodeCatalog.definitions + external.nodes.map(\.definition) { catalogue[definition.description.type] = definition }
        self.catalogue = catalogue
    }

    private static func change(_ path: String, _ change: Change) throws {
        let before = try FileManager.default.attributesOfItem(atPath: path)
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        switch change {
        case .rewritten:
            bytes[bytes.count - 5] ^= 1  // none of the files is shorter
            let handle = try FileHandle(forUpdating: URL(filePath: path))
            try handle.write(contentsOf: bytes)
            try handle.close()
            try FileManager.default.setAttributes([.modificationDate: before[.modificationDate] ?? Date()], ofItemAtPath: path)
        case .cutShort: truncate(path, off_t(bytes.count / 2))
        case .replaced:
            try Data(bytes).write(to: URL(filePath: path + ".new"))
            rename(path + ".new", path)
        case .removed: unlink(path)
        }
    }

    private func run(
        _ type: String, _ file: String, store: CacheStore, while changing: Change? = nil
    ) throws -> RunSummary {
        let reader = try #require(catalogue[NodeType(type)])
        var catalogue = catalogue
        catalogue[reader.description.type] = NodeDefinition(description: reader.description, codeDigest: reader.codeDigest) { invocation in
            if let changing, changing != .rewritten { try Self.change(file, changing) }
            let result = Result { try reader.run(invocation) }
            if changing == .rewritten { try Self.change(file, .rewritten) }
            try result.get()
        }
        let path = "\(folder)/graph.yaml"
        try Data("""
            understudy: 1
            name: read
            inputs: { file: { type: file, default: \(file) } }
            nodes:
              read: { type: \(type), in: { file: inputs.file }, with: { \(type == "skeleton.load" ? "size: 640x480" : "") } }
            """.utf8).write(to: URL(filePath: path))
        let (graph, diagnostics) = Graph.load(GraphRequest(path: path), catalogue: catalogue.mapValues(\.description))
        let loaded = try #require(graph, "\(diagnostics.sorted.map(\.message))")
        return try UnderstudyEngine(store: store, catalogue: catalogue).run(loaded, options: RunOptions(threads: 1))
    }

    @Test(arguments: readers.map(\.type), Change.allCases)
    func changeIsNoticed(type: String, change: Change) throws {
        let source = try #require(Self.readers.first { $0.type == type }?.file)
        let file = "\(folder)/\((source as NSString).lastPathComponent)"
        let bytes = try Data(contentsOf: URL(filePath: "\(Self.root)/\(source)"))
        try bytes.write(to: URL(filePath: file))
        let store = try CacheStore(root: "\(folder)/cache")
        let disturbed = try run(type, file, store: store, while: change)
        let failure = try #require(disturbed.failures.first, "nobody noticed")
        if change == .rewritten || change == .replaced {
            #expect(failure.message.contains("changed while it was read"), "\(failure.message)")
        }
        #expect(failure.message.contains(file), "\(failure.message)")
        #expect(try store.list().isEmpty)
        // As it was, it is read as if nothing had been.
        try bytes.write(to: URL(filePath: file))
        let again = try run(type, file, store: store)
        #expect(again.failures.isEmpty && again.ran.count == 1, "\(again.failures.map(\.message))")
        let clean = try CacheStore(root: "\(folder)/clean")
        #expect(try run(type, file, store: clean).failures.isEmpty)
        #expect(try Set(store.list().map(\.digest)) == Set(clean.list().map(\.digest)))
    }
}
