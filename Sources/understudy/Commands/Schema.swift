import ArgumentParser
import Foundation
import GraphKit
import WholeFiles

struct Schema: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "Prints the JSON Schema of graph files, made from the node types, for editors.")

    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions
    @Option(name: .shortAndLong, help: "File to write; standard output if missing.") var out: String?

    func run() throws {
        let text = GraphSchema.json(catalogue: try nodes.catalogue(store).mapValues(\.description))
        if let out {
            try WholeFile.write(Data(text.utf8), to: out)
        } else {
            print(text)
        }
    }
}
