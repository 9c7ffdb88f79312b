import ArgumentParser
import Engine
import Foundation

struct Runs: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists past runs, shows one, or compares two.", subcommands: [List.self, Show.self, Diff.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "Lists past runs, latest first.")
        @Option(help: "How many to list.") var limit = 20
        @OptionGroup var store: StoreOptions

        func run() throws {
            var table = TextTable()
            table.add("run", "graph", "status", "started", "took", "instances")
            for run in try Journal(store: store.open()).runs(limit: max(limit, 1)) {
                let counts = run.counts.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
                table.add("\(run.id)", run.graph, run.status.rawValue, run.started.formatted(date: .numeric, time: .standard), run.ended.map { durationText($0.timeIntervalSince(run.started)) } ?? "", counts)
            }
            print(table.text)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Shows what a run did, instance by instance.")
        @Argument(help: "The run's number; the latest if missing.") var number: Int64?
        @Flag(help: "Prints everything known of each instance as JSON.") var json = false
        @OptionGroup var store: StoreOptions

        func run() throws {
            let journal = Journal(store: try store.open())
            guard let run = try number.map({ try journal.run($0) }) ?? journal.runs(limit: 1).first else {
                throw Failure.usage("error: there is no run\(number.map { " \($0)" } ?? ""); 'understudy runs' lists them")
            }
            let entries = try journal.entries(of: run.id)
            if json { return print(try jsonText(entries)) }
            var table = TextTable()
            table.rightAligned = [2, 3]
            table.add("node", "result", "time", "peak memory", "made")
            for entry in entries {
                let outputs = entry.outputs.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.digest.short) \(byteText(Int($0.value.bytes)))" }
                table.add(
                    entry.instance.description, entry.status.rawValue, entry.seconds.map(durationText) ?? "", memoryText(entry.memory),
                    entry.error ?? outputs.joined(separator: ", "))
            }
            print(table.text)
        }
    }

    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Says what differs between two runs, and why.")
        @Argument(help: "The earlier run's number.") var old: Int64
        @Argument(help: "The later run's number.") var new: Int64
        @OptionGroup var store: StoreOptions

        func run() throws {
            let journal = Journal(store: try store.open())
            for id in [old, new] where try journal.run(id) == nil {
                throw Failure.usage("error: there is no run \(id); 'understudy runs' lists them")
            }
            let differences = try journal.difference(from: old, to: new)
            guard !differences.isEmpty else { return print("runs \(old) and \(new) have the same results") }
            var table = TextTable()
            for difference in differences {
                let outputs = difference.outputs.isEmpty ? "outputs identical" : "outputs differ: \(difference.outputs.joined(separator: ", "))"
                table.add(difference.instance.description, difference.kind.rawValue, outputs, difference.reasons.map(\.description).joined(separator: "; "))
            }
            print(table.text)
        }
    }
}
