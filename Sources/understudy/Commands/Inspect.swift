import ArgumentParser
import Engine
import Foundation
import GraphKit
import Inspection
import NodeKit
import WholeFiles

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows cached outputs of a node: numbers, a picture, a table; or exports them.",
        discussion: "Exports by extension: .safetensors, .png, .mp4, .wav, .csv, .json, as the type allows.")

    @OptionGroup var graph: GraphOptions
    @Argument(help: "What to show: 'skeleton', 'skeleton.pose', 'animate[3].latent'. All nodes if missing.") var target: String?
    @Option(help: ArgumentHelp("Writes the value to a file, in the form its extension says.", valueName: "file"), completion: .file()) var export: String?
    @Option(help: ArgumentHelp("Folder for preview pictures.", valueName: "folder"), completion: .directory) var out = "out/inspect"
    @OptionGroup var cached: CachedGraphOptions

    func run() throws {
        let cached = try self.cached.open(graph)
        let found = try usable {
            let targets = try target.map { [try RunTarget($0, in: cached.graph)] } ?? cached.graph.nodes.map { RunTarget(node: $0.id) }
            return try targets.flatMap(cached.artifacts)
        }
        guard !found.isEmpty else {
            throw Failure.node("error: nothing of '\(target ?? cached.graph.name)' is cached; run the graph first")
        }
        let backdrops = BackdropFinder(cached: cached)
        if let export {
            guard found.count == 1, let only = found.first else {
                let names = found.map { "'\($0.instance).\($0.port)'" }.joined(separator: ", ")
                throw Failure.usage("error: --export takes one value; name one of \(names)")
            }
            try Export.write(only.artifact, to: export, backdrop: backdrops.search(for: only.instance.node))
            print("\(only.instance).\(only.port): \(export)")
            return
        }
        for item in found {
            try show(item.instance, item.port, item.artifact, isCurrent: item.isCurrent, backdrop: backdrops.search(for: item.instance.node))
        }
    }

    private func show(_ instance: InstanceID, _ port: String, _ artifact: Artifact, isCurrent: Bool, backdrop: BackdropSearch) throws {
        let inspection = try Inspection(of: artifact, backdrop: backdrop)
        print(Terminal.output.bold("\(instance).\(port)") + (isCurrent ? "" : "  (of an earlier run; a run would make it anew)"))
        var table = TextTable()
        for fact in inspection.facts { table.add("  \(fact.label)", fact.value) }
        if let preview = inspection.preview {
            try WholeFile.makeFolder(out)
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

/// Finds the pictures that a track was measured in: the nearest ones of its size among its node's outputs and what is upstream.
struct BackdropFinder {
    let cached: CachedGraph

    func search(for node: String) -> BackdropSearch {
        { width, height in
            Backdrop.first(in: pictures(near: node).lazy.compactMap { artifact($0.node, $0.port) }, width: width, height: height)
        }
    }

    /// Ports that give pictures, nearest first.
    private func pictures(near start: String) -> [(node: String, port: String)] {
        var (queue, seen, found) = ([start], Set([start]), [(node: String, port: String)]())
        while !queue.isEmpty {
            guard let node = cached.graph.node(queue.removeFirst()) else { continue }
            found += node.description.outputs.filter { [.video, .image].contains($0.type) }.map { (node.id, $0.name) }
            for (_, wire) in node.orderedWires {
                for source in wire.sources where seen.insert(source.node).inserted { queue.append(source.node) }
            }
        }
        return found
    }

    private func artifact(_ node: String, _ port: String) -> Artifact? {
        try? cached.artifacts(of: RunTarget(node: node, port: port)).first?.artifact
    }
}
