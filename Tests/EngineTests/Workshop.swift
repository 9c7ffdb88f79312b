import Engine
import Foundation
import GRDB
import GraphKit
import NodeKit
import Testing

/// A folder with a store and graph files, removed at the end.
final class Workshop: Sendable {
    let folder: String
    let catalogue: [NodeType: NodeDefinition]

    private let isBorrowed: Bool
    /// Who owns a borrowed folder, kept so that it stays.
    private let owner: Workshop?
    private let areFiles: Bool

    /// - Parameters:
    ///   - borrowed: A folder that another process or workshop owns and removes.
    ///   - areFiles: Whether small artifacts are files too.
    init(
        catalogue: [NodeType: NodeDefinition] = testCatalogue, borrowed: String? = nil, owner: Workshop? = nil,
        areFiles: Bool = false
    ) throws {
        self.owner = owner
        isBorrowed = borrowed != nil
        self.areFiles = areFiles
        folder = borrowed ?? FileManager.default.temporaryDirectory.appending(path: "engine-\(UUID().uuidString)").path
        self.catalogue = catalogue
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { if !isBorrowed { try? FileManager.default.removeItem(atPath: folder) } }

    var storePath: String { "\(folder)/cache" }

    func engine() throws -> UnderstudyEngine {
        let store = areFiles ? try CacheStore(root: storePath, inlineLimit: 0) : try CacheStore(root: storePath)
        return UnderstudyEngine(store: store, catalogue: catalogue)
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
    }

    func graph(_ text: String, set: [String] = []) throws -> Graph {
        try write("graph.yaml", "understudy: 1\nname: test\n" + text)
        let (graph, diagnostics) = Graph.load(
            GraphRequest(path: "\(folder)/graph.yaml", settings: set), catalogue: catalogue.mapValues(\.description))
        return try #require(graph, "\(diagnostics.sorted.map(\.message))")
    }

    /// Runs in a store that is opened afresh, as a new process would.
    func run(
        _ text: String, set: [String] = [], options: RunOptions = .init(threads: 2), cancellation: Cancellation = .init(),
        events: @escaping @Sendable (RunEvent) -> Void = { _ in }
    ) throws -> Ran {
        let summary = try engine().run(
            try graph(text, set: set), options: options, cancellation: cancellation, events: events)
        return Ran(summary: summary)
    }

    func plan(_ text: String, set: [String] = [], options: RunOptions = .init(threads: 2)) throws -> Plan {
        try engine().plan(try graph(text, set: set), options: options)
    }

    func value(_ target: String, _ text: String, set: [String] = []) throws -> Double {
        let graph = try graph(text, set: set)
        let found = try engine().artifacts(of: try RunTarget(target, in: graph), in: graph)
        return try Table(artifact: try #require(found.first?.artifact)).number
    }

    /// The store's path, once everything is in the index's main file, as when all programs have ended.
    func closed() throws -> String {
        let queue = try DatabaseQueue(path: "\(storePath)/index.sqlite")
        try queue.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
        try queue.close()
        for suffix in ["-wal", "-shm"] { unlink("\(storePath)/index.sqlite\(suffix)") }
        return storePath
    }

    struct Ran {
        let summary: RunSummary
        var ran: Set<String> { Set(summary.ran.map(\.description)) }
        var cached: Set<String> { Set(summary.cached.map(\.description)) }
        var skipped: Set<String> { Set(summary.skipped.map(\.description)) }
        var failed: Set<String> { Set(summary.failures.map(\.instance.description)) }
    }
}
