import ArgumentParser
import Foundation
import GraphKit
import WholeFiles

struct GraphCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "graph", abstract: "Draws a graph as DOT, Mermaid or SVG.")

    enum Format: String, ExpressibleByArgument, CaseIterable { case dot, mermaid, svg }

    @OptionGroup var options: GraphOptions
    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions
    @Option(help: "dot, mermaid or svg.") var format = Format.svg
    @Option(name: .shortAndLong, help: "File to write; standard output if missing.") var out: String?

    func run() throws {
        var check = GraphCheckOptions()
        check.checksFiles = false
        check.requiresInputs = false
        let graph = try options.load(catalogue: nodes.catalogue(store), options: check)
        let text =
            switch format {
            case .dot: graph.dot()
            case .mermaid: graph.mermaid()
            case .svg: graph.svg()
            }
        if let out {
            try WholeFile.write(Data(text.utf8), to: out)
        } else {
            print(text)
        }
    }
}
