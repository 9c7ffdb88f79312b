import ArgumentParser
import Engine
import Foundation
import GraphKit
import Inspection
import NodeKit
import WholeFiles

struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report", abstract: "Writes a self-contained HTML page about a run: graph, timings, previews, films.")

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
        let graph = graph(of: run)
        let order = Dictionary((graph?.nodes ?? []).enumerated().map { ($0.element.id, $0.offset) }, uniquingKeysWith: { first, _ in first })
        let entries = try journal.entries(of: run.id).enumerated().sorted {
            (order[$0.element.instance.node] ?? .max, $0.offset) < (order[$1.element.instance.node] ?? .max, $1.offset)
        }.map(\.element)
        var films: [(name: String, bytes: Data)] = []
        var previews: [ReportPage.Preview] = []
        let pictures = PictureTracer(entries: entries, store: store)
        for entry in entries {
            for (port, output) in entry.outputs.sorted(by: { $0.key < $1.key }) {
                // A value that has left the cache since is listed without a picture.
                guard let artifact = try? store.value(output) else { continue }
                let title = "\(entry.instance).\(port)"
                if output.suffix == "mp4", output.bytes <= Self.largestFilm, let bytes = FileManager.default.contents(atPath: artifact.path) {
                    films.append((title, bytes))
                }
                guard let inspection = try? Inspection(of: artifact, backdrop: pictures.search(for: entry)) else { continue }
                // Where it lies matters on this machine only.
                let facts = inspection.facts.filter { $0.label != "artifact" }
                previews.append(.init(title: title, facts: facts, png: try inspection.preview?.png(), table: inspection.table))
            }
        }
        let page = ReportPage(
            title: "\(run.graph), run \(run.id)",
            facts: [
                .init("status", run.status.rawValue), .init("instances", counts(run)), .init("started", run.started.formatted(.iso8601)),
                .init("took", run.tookText ?? "not ended"),
                .init("graph file", run.path),
            ],
            graph: svg(graph, entries: entries), rows: rows(entries), films: films, previews: previews)
        try WholeFile.makeFolder(URL(filePath: out).deletingLastPathComponent().path)
        try WholeFile.write(Data(page.html.utf8), to: out)
        print("\(out): \(entries.count) instances, \(previews.count) values, \(films.count) films")
    }

    private func rows(_ entries: [JournalEntry]) -> [ReportPage.Row] {
        entries.map { entry in
            ReportPage.Row(
                node: entry.instance.description, type: entry.fingerprint.type, status: entry.status.rawValue,
                seconds: entry.status == .skipped ? nil : entry.seconds, memory: memoryText(entry.memory), bytes: Int(entry.outputs.values.map(\.bytes).clampedSum),
                note: entry.error ?? "")
        }
    }

    private func counts(_ run: JournalRun) -> String {
        run.counts.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
    }

    /// The graph as the file stands now; nil when it no longer loads.
    private func graph(of run: JournalRun) -> Graph? {
        var check = GraphCheckOptions()
        check.checksFiles = false
        check.requiresInputs = false
        guard let catalogue = try? nodes.catalogue(store) else { return nil }
        return Graph.load(GraphRequest(path: run.path), catalogue: catalogue.mapValues(\.description), options: check).graph
    }

    /// The graph as a picture, each node with how it fared.
    private func svg(_ graph: Graph?, entries: [JournalEntry]) -> String {
        guard let graph else { return "<p>The graph file cannot be read any more.</p>" }
        var annotations: [String: NodeAnnotation] = [:]
        for (node, group) in Dictionary(grouping: entries, by: \.instance.node) {
            let statuses = Set(group.map(\.status))
            annotations[node] = NodeAnnotation(
                caption: durationText(group.compactMap(\.seconds).reduce(0, +)),
                emphasis: statuses.contains(.failed) ? .failed : statuses.contains(.ran) ? .done : statuses == [.cached] ? .cached : .plain)
        }
        return graph.svg(annotations: annotations)
    }
}

/// Finds the pictures that a track of a run was measured in: the nearest ones of its size among what was made beside it and what its
/// inputs were made from.
private struct PictureTracer {
    private var makers: [Digest: JournalEntry] = [:]
    private let store: CacheStore

    init(entries: [JournalEntry], store: CacheStore) {
        self.store = store
        for entry in entries {
            for output in entry.outputs.values { makers[output.digest] = entry }
        }
    }

    func search(for entry: JournalEntry) -> BackdropSearch {
        { width, height in Backdrop.first(in: pictures(near: entry).lazy.compactMap { try? store.value($0) }, width: width, height: height) }
    }

    private func pictures(near start: JournalEntry) -> [ActionRecord.Output] {
        var (queue, seen, found) = ([start], Set([start.instance]), [ActionRecord.Output]())
        while !queue.isEmpty {
            let entry = queue.removeFirst()
            found += entry.outputs.sorted { $0.key < $1.key }.map(\.value)
                .filter { [PortType.video.name, PortType.image.name].contains($0.type) }
            for digest in entry.fingerprint.inputs.sorted(by: { $0.key < $1.key }).flatMap(\.value).compactMap(\.digest) {
                if let maker = makers[digest], seen.insert(maker.instance).inserted { queue.append(maker) }
            }
        }
        return found
    }
}
