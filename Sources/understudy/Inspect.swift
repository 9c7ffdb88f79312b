import ArgumentParser
import Engine
import Foundation
import GraphKit
import Inspection
import NodeKit

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows cached outputs of a node: numbers, a picture, a table; or exports them.",
        discussion: "Exports by extension: .safetensors, .png, .mp4, .wav, .csv, .json, as the type allows.")

    @OptionGroup var graph: GraphOptions
    @Argument(help: "What to show: 'skeleton', 'skeleton.pose', 'animate[3].latent'. All nodes if missing.") var target: String?
    @Option(help: ArgumentHelp("Writes the value to a file, in the form its extension says.", valueName: "file"), completion: .file()) var export: String?
    @Option(help: ArgumentHelp("Folder for preview pictures.", valueName: "folder"), completion: .directory) var out = "out/inspect"
    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let store = try self.store.open()
        let catalogue = try nodes.catalogue(self.store)
        var check = GraphCheckOptions()
        check.checksFiles = false
        let graph = try self.graph.load(catalogue: catalogue, options: check)
        let engine = UnderstudyEngine(store: store, catalogue: catalogue)
        let targets: [RunTarget]
        do {
            targets = try target.map { [try RunTarget($0, in: graph)] } ?? graph.nodes.map { RunTarget(node: $0.id) }
        } catch let error as UsageError {
            throw Failure.usage("error: \(error)")
        }
        let found = try targets.flatMap { try engine.artifacts(of: $0, in: graph) }
        guard !found.isEmpty else {
            throw Failure.node("error: nothing of '\(target ?? graph.name)' is cached; run the graph first")
        }
        if let export {
            guard found.count == 1, let only = found.first else {
                let names = found.map { "'\($0.instance).\($0.port)'" }.joined(separator: ", ")
                throw Failure.usage("error: --export takes one value; name one of \(names)")
            }
            let backdrops = BackdropFinder(graph: graph, engine: engine)
            try Export.write(only.artifact, to: export, backdrop: backdrops.backdrop(for: only.instance.node))
            print("\(only.instance).\(only.port): \(export)")
            return
        }
        let backdrops = BackdropFinder(graph: graph, engine: engine)
        for item in found {
            try show(item.instance, item.port, item.artifact, isCurrent: item.isCurrent, backdrop: backdrops.backdrop(for: item.instance.node))
        }
    }

    private func show(_ instance: InstanceID, _ port: String, _ artifact: Artifact, isCurrent: Bool, backdrop: Video?) throws {
        let inspection = try Inspection(of: artifact, backdrop: backdrop)
        print(Terminal.output.bold("\(instance).\(port)") + (isCurrent ? "" : "  (of an earlier run; a run would make it anew)"))
        var table = TextTable()
        for fact in inspection.facts { table.add("  \(fact.label)", fact.value) }
        if let preview = inspection.preview {
            try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
            let path = "\(out)/\(instance).\(port).png"
            try preview.writePNG(to: path)
            table.add("  picture", path)
        }
        print(table.text)
        if let values = inspection.table { print(text(of: values)) }
        print("")
    }

    private func text(of table: Table) -> String {
        var text = TextTable()
        text.rightAligned = Set(1...max(table.columns.count, 1))
        text.add(["  "] + table.columns.map { $0.unit.isEmpty ? $0.name : "\($0.name) [\($0.unit)]" })
        for (label, row) in zip(table.labels, table.values).prefix(60) {
            text.add(["  \(label)"] + row.map { $0.isFinite ? String(format: "%.5g", $0) : "–" })
        }
        return table.values.count > 60 ? text.text + "\n  … \(table.values.count - 60) more rows; --export table.csv has all" : text.text
    }
}

/// Finds the frames that a track was measured in: the nearest video upstream of its node.
struct BackdropFinder {
    let graph: Graph
    let engine: UnderstudyEngine

    func backdrop(for node: String) -> Video? {
        var queue = [node]
        var seen: Set<String> = [node]
        while !queue.isEmpty {
            let id = queue.removeFirst()
            guard let node = graph.node(id) else { continue }
            for (_, wire) in node.orderedWires {
                for source in wire.sources {
                    if graph.node(source.node)?.outputType(source.port) == .video, let video = video(source.node, source.port) { return video }
                    if seen.insert(source.node).inserted { queue.append(source.node) }
                }
            }
        }
        return nil
    }

    private func video(_ node: String, _ port: String) -> Video? {
        guard let artifact = try? engine.artifacts(of: RunTarget(node: node, port: port), in: graph).first?.artifact else { return nil }
        return try? Video(artifact: artifact)
    }
}
