import ArgumentParser
import Engine
import Foundation
import Inspection
import NodeKit

struct Runs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runs", abstract: "Lists past runs, shows one, or compares two.", subcommands: [List.self, Show.self, Diff.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "Lists past runs, latest first.")
        @Option(help: "How many to list.") var limit = 20
        @OptionGroup var store: StoreOptions

        func run() throws {
            var table = TextTable()
            table.add("run", "graph", "status", "started", "took", "instances")
            for run in try Journal(store: store.open()).runs(limit: max(limit, 1)) {
                let counts = run.counts.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
                table.add("\(run.id)", run.graph, run.status.rawValue, run.started.formatted(date: .numeric, time: .standard), run.tookText ?? "", counts)
            }
            print(table.text)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "show", abstract: "Shows what a run did, instance by instance.")
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
                    entry.error.map(Terminal.plain) ?? (entry.status == .pinned ? pins(of: entry) : outputs.joined(separator: ", ")))
            }
            print(table.text)
        }

        private func pins(of entry: JournalEntry) -> String {
            entry.fingerprint.inputs.sorted { $0.key < $1.key }.flatMap { port, values in values.map { "\(port) from \($0.path ?? "")" } }
                .joined(separator: ", ")
        }
    }

    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "diff", abstract: "Says what differs between two runs: why, where the change began, and by how much the outputs differ.")
        @Argument(help: "The earlier run's number.") var old: Int64
        @Argument(help: "The later run's number.") var new: Int64
        @Flag(help: "Prints the differences as JSON.") var json = false
        @OptionGroup var store: StoreOptions

        private struct Item: Encodable {
            let difference: RunDifference
            /// By output.
            let outputs: [String: ValueComparison]
        }

        func run() throws {
            let store = try store.open()
            let journal = Journal(store: store)
            for id in [old, new] where try journal.run(id) == nil {
                throw Failure.usage("error: there is no run \(id); 'understudy runs' lists them")
            }
            let items = try journal.difference(from: old, to: new).map { difference in
                var outputs: [String: ValueComparison] = [:]
                for output in difference.outputs {
                    guard let old = output.old, let new = output.new else { continue }
                    outputs[output.port] = try? ValueComparison(store.contents(of: old), store.contents(of: new))
                }
                return Item(difference: difference, outputs: outputs)
            }
            if json { return print(try jsonText(items)) }
            guard !items.isEmpty else { return print("runs \(old) and \(new) have the same results") }
            var table = TextTable()
            for item in items {
                let difference = item.difference
                table.add(difference.instance.description, difference.kind.rawValue, Terminal.plain(difference.reasons.map(\.description).joined(separator: "; ")))
                if !difference.origins.isEmpty {
                    table.add("", "  began at", difference.origins.map(\.instance.description).joined(separator: ", "))
                }
                guard difference.kind == .changed else { continue }
                let endings = [difference.oldStatus, difference.newStatus].compactMap { $0 }
                if endings.contains(where: { [.failed, .cancelled].contains($0) }) {
                    table.add("", "  result", endings.map(\.rawValue).joined(separator: " → "))
                } else if difference.outputs.isEmpty {
                    table.add("", "  outputs", "identical")
                }
                for output in difference.outputs {
                    let text = item.outputs[output.port]?.description
                        ?? (output.old == nil ? "only in run \(new)" : output.new == nil ? "only in run \(old)" : "cannot be compared")
                    table.add("", "  \(output.port)", text)
                }
            }
            print(table.text)
        }
    }
}

extension JournalRun {
    /// How long it took, by the clock when it began and ended, which may have been set in between; nil when it has not ended.
    var tookText: String? { ended.map { durationText($0.timeIntervalSince(started)) } }
}
