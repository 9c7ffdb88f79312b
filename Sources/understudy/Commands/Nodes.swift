import ArgumentParser
import Engine
import Foundation
import NodeKit

struct Nodes: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nodes", abstract: "Lists node types, shows one in full, or installs an external node's environment.",
        subcommands: [List.self, Show.self, Install.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "Lists all node types.")
        @OptionGroup var nodes: NodeOptions
        @OptionGroup var store: StoreOptions

        func run() throws {
            var table = TextTable()
            for definition in try nodes.catalogue(store).values.sorted(by: { $0.description.type < $1.description.type }) {
                table.add(definition.description.type.name, definition.description.summary)
            }
            print(table.text)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "show", abstract: "Shows one node type in full: ports, parameters, defaults, ranges.")
        @Argument(help: "The node type, for instance 'head.sphere'.") var type: String
        @OptionGroup var nodes: NodeOptions
        @OptionGroup var store: StoreOptions

        func run() throws {
            let catalogue = try nodes.catalogue(store)
            guard let node = catalogue[NodeType(type)]?.description else {
                let near = catalogue.keys.map(\.name).filter { $0.contains(type) || type.contains($0.split(separator: ".")[0]) }.sorted()
                let hint = near.isEmpty ? "'understudy nodes' lists them" : "did you mean \(near.prefix(5).map { "'\($0)'" }.joined(separator: ", "))?"
                throw Failure.usage("error: no node type '\(type)'; \(hint)")
            }
            print("\(Terminal.output.bold(node.type.name))  version \(node.version)\n\(node.summary)")
            section("Inputs", node.inputs.map { ["  \($0.name)", $0.type.name + ($0.isOptional ? ", optional" : ""), $0.help] })
            section("Outputs", node.outputs.map { ["  \($0.name)", $0.type.name, $0.help] })
            section("Parameters", node.parameters.map { ["  \($0.name)", $0.schema.text, "default \($0.defaultValue.canonical)", $0.help] })
        }

        private func section(_ title: String, _ rows: [[String]]) {
            guard !rows.isEmpty else { return }
            var table = TextTable()
            rows.forEach { table.add($0) }
            print("\n\(Terminal.output.bold(title))\n\(table.text)")
        }
    }

    struct Install: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "install", abstract: "Makes the Python environment of an external node.")
        @Argument(help: "The node type, for instance 'skeleton.track'.") var type: String
        @OptionGroup var nodes: NodeOptions
        @OptionGroup var store: StoreOptions

        func run() throws {
            guard let node = try nodes.externalNodes(store).first(where: { $0.manifest.description.type.name == type }) else {
                throw Failure.usage("error: no external node type '\(type)'; 'understudy nodes' lists all types")
            }
            guard let environment = node.environment else { return print("'\(type)' needs no environment") }
            guard !environment.isComplete else { return print("the environment of '\(type)' is there already") }
            try environment.install { print($0) }
        }
    }
}

extension ParameterSchema {
    /// For people: `integer, 1 to 30`.
    var text: String {
        var text = Self.text(kind)
        switch (minimum, maximum) {
        case (let low?, let high?): text += ", \(ParameterLiteral.number(low).canonical) to \(ParameterLiteral.number(high).canonical)"
        case (let low?, nil): text += ", at least \(ParameterLiteral.number(low).canonical)"
        case (nil, let high?): text += ", at most \(ParameterLiteral.number(high).canonical)"
        case (nil, nil): break
        }
        return isOptional ? text + ", or null" : text
    }

    private static func text(_ kind: Kind) -> String {
        switch kind {
        case .bool: "true or false"
        case .integer: "integer"
        case .number: "number"
        case .string: "text"
        case .choice(let words): words.joined(separator: " | ")
        case .size: "WIDTHxHEIGHT"
        case .rational: "fraction"
        case .list(let element): "list of \(text(element))"
        case .any: "anything"
        }
    }
}
