import ArgumentParser
import Foundation
import GraphKit

struct Schema: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "Prints the JSON Schema of graph files, made from the node types, for editors.")

    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions
    @Option(name: .shortAndLong, help: "File to write; standard output if missing.") var out: String?

    func run() throws {
        let text = GraphSchema.json(catalogue: try nodes.catalogue(store).mapValues(\.description))
        if let out {
            try Data(text.utf8).write(to: URL(filePath: out))
        } else {
            print(text)
        }
    }
}
