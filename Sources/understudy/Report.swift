import ArgumentParser
import Engine
import Foundation
import GraphKit
import Inspection
import NodeKit

struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes a self-contained HTML page about a run: graph, timings, previews, films.")

    @Option(name: .customLong("run"), help: "The run's number; the latest if missing.") var number: Int64?
    @Option(name: .shortAndLong, help: "The page to write.", completion: .file(extensions: ["html"])) var out = "out/report.html"
    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions

    /// Larger films are named, not embedded, so that the page opens.
    private static let largestFilm = 32 << 20

    func run() throws {
        let store = try self.store.open()
        let journal = Journal(store: store)
        guard let run = try number.map({ try journal.run($0) }) ?? journal.runs(limit: 1).first else {
            throw Failure.usage("error: there is no \(number.map { "run \($0)" } ?? "run yet"); 'understudy runs' lists them")
        }
        let entries = try journal.entries(of: run.id)
        var films: [(name: String, bytes: Data)] = []
        var previews: [ReportPage.Preview] = []
        let videos = VideoTracer(entries: entries, store: store)
        for entry in entries {
            for (port, output) in entry.outputs.sorted(by: { $0.key < $1.key }) {
                let artifact = store.artifact(output)
                let title = "\(entry.instance).\(port)"
                if output.suffix == "mp4", output.bytes <= Self.largestFilm, let bytes = FileManager.default.contents(atPath: artifact.path) {
                    films.append((title, bytes))
                }
                // A value that has left the cache since is listed without a picture.
                guard let inspection = try? Inspection(of: artifact, backdrop: videos.backdrop(for: entry)) else { continue }
                previews.append(.init(title: title, facts: inspection.facts, png: try inspection.preview?.png()))
            }
        }
        let page = ReportPage(
            title: "\(run.graph), run \(run.id)",
            facts: [
                .init("status", run.status.rawValue), .init("started", run.started.formatted(.iso8601)),
                .init("took", run.ended.map { durationText($0.timeIntervalSince(run.started)) } ?? "not ended"),
                .init("graph file", run.path),
            ],
            graph: svg(of: run, entries: entries), rows: rows(entries), films: films, previews: previews)
        let folder = URL(filePath: out).deletingLastPathComponent().path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(page.html.utf8).write(to: URL(filePath: out))
        print("\(out): \(entries.count) instances, \(previews.count) values, \(films.count) films")
    }

    private func rows(_ entries: [JournalEntry]) -> [ReportPage.Row] {
        entries.map { entry in
            ReportPage.Row(
                node: entry.instance.description, type: entry.fingerprint.type, status: entry.status.rawValue,
                seconds: entry.status == .skipped ? nil : entry.seconds, memory: memoryText(entry.memory), bytes: entry.outputs.values.reduce(0) { $0 + Int($1.bytes) },
                note: entry.error ?? "")
        }
    }

    /// The graph as the file stands now, each node with how it fared; empty when the file no longer loads.
    private func svg(of run: JournalRun, entries: [JournalEntry]) -> String {
        var check = GraphCheckOptions()
        check.checksFiles = false
        check.requiresInputs = false
        guard let catalogue = try? nodes.catalogue(store),
            let graph = Graph.load(GraphRequest(path: run.path), catalogue: catalogue.mapValues(\.description), options: check).graph
        else { return "<p>The graph file cannot be read any more.</p>" }
        var annotations: [String: NodeAnnotation] = [:]
        for (node, group) in Dictionary(grouping: entries, by: \.instance.node) {
            let seconds = group.compactMap(\.seconds).reduce(0, +)
            annotations[node] = NodeAnnotation(caption: durationText(seconds))
        }
        return graph.svg(annotations: annotations)
    }
}

/// Finds the frames that a track of a run was measured in: the nearest video among what its inputs were made from.
private struct VideoTracer {
    private var makers: [Digest: (entry: JournalEntry, output: ActionRecord.Output)] = [:]
    private let store: CacheStore

    init(entries: [JournalEntry], store: CacheStore) {
        self.store = store
        for entry in entries {
            for output in entry.outputs.values { makers[output.digest] = (entry, output) }
        }
    }

    func backdrop(for entry: JournalEntry) -> Video? {
        var queue = entry.fingerprint.inputs.values.flatMap { $0 }.compactMap(\.digest)
        var seen = Set(queue)
        while !queue.isEmpty {
            guard let maker = makers[queue.removeFirst()] else { continue }
            if maker.output.type == PortType.video.name { return try? Video(artifact: store.artifact(maker.output)) }
            for digest in maker.entry.fingerprint.inputs.values.flatMap({ $0 }).compactMap(\.digest) where seen.insert(digest).inserted {
                queue.append(digest)
            }
        }
        return nil
    }
}
