import ArgumentParser
import Engine
import Foundation
import GraphKit
import NodeKit

struct Cache: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache", abstract: "Looks after the cache.", subcommands: [List.self, Collect.self, Limit.self, Pin.self, Verify.self, Path.self, Export.self, Import.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "Lists cached artifacts, largest first.")
        @Option(help: "How many to list.") var limit = 40
        @OptionGroup var store: StoreOptions

        func run() throws {
            let store = try self.store.open()
            let objects = try store.list()
            var table = TextTable()
            table.rightAligned = [1, 2]
            for object in objects.prefix(max(limit, 0)) {
                table.add(object.digest.short, byteText(Int(object.bytes)), durationText(object.seconds), object.type ?? "", object.nodes.joined(separator: ", "))
            }
            if !objects.isEmpty { print(table.text) }
            let limit: Int64?
            do { limit = try store.settings().maxBytes } catch let error as StoreError { throw Failure.usage("error: \(error)") }
            print("\(objects.count) artifacts, \(byteText(Int(objects.map(\.bytes).clampedSum))) in \(store.root)\(limit.map { ", kept to \(byteText(Int($0))) after a run" } ?? "")")
        }
    }

    struct Collect: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "gc", abstract: "Removes artifacts until the cache fits a size: first what is quickest to make again per byte.")
        @Option(help: ArgumentHelp("The size to keep, for instance 20G.", valueName: "size")) var maxSize: ByteSize
        @OptionGroup var store: StoreOptions

        func run() throws {
            CacheStore.giveUpSpare(root: store.root)
            let result = try store.open().gc(maxBytes: Int64(maxSize.bytes))
            print("removed \(result.removed) artifacts, \(byteText(Int(result.freedBytes))); \(byteText(Int(result.keptBytes))) are left\(result.protected > 0 ? ", \(result.protected) artifacts are in use or pinned" : "")")
            guard result.failures.isEmpty else {
                throw Failure.node((result.failures.map { "cannot remove \($0)" } + ["error: \(result.failures.count) artifacts could not be removed, and stay"]).joined(separator: "\n"))
            }
        }
    }

    struct Limit: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "limit", abstract: "Sets how large the cache may be after a run ('max-size' in its config.yaml).")
        @Argument(help: ArgumentHelp("The size, for instance 20G, or none.", valueName: "size")) var size: String
        @OptionGroup var store: StoreOptions

        func run() throws {
            let bytes = ByteSize(argument: size)?.bytes
            guard bytes != nil || size == "none" else { throw Failure.usage("error: '\(size)' is no size; write 20G, or none") }
            let store = try self.store.make()
            try store.set(StoreSettings(maxBytes: bytes.map(Int64.init)))
            print(bytes.map { "the cache in \(store.root) is kept to \(byteText($0)) after each run" } ?? "the cache in \(store.root) may grow")
        }
    }

    struct Pin: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "pin", abstract: "Keeps all that a run made, whatever the cache's size.")
        @Argument(help: ArgumentHelp("The run's number.", valueName: "run")) var number: Int64
        @Flag(help: "Lets it go again.") var undo = false
        @OptionGroup var store: StoreOptions

        func run() throws {
            let store = try self.store.open()
            guard try Journal(store: store).run(number) != nil else { throw Failure.usage("error: there is no run \(number) in \(store.root)") }
            let count = try store.setPinned(!undo, run: number)
            print(undo ? "run \(number): \(count) results may go again" : "run \(number): \(count) results are kept")
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "verify", abstract: "Hashes every artifact again; damaged ones are dropped and made anew by the next run.")
        @OptionGroup var store: StoreOptions

        func run() throws {
            let result = try store.open().verify()
            guard result.isClean else { throw Failure.node(text(result)) }
            print("\(result.checked) artifacts, \(byteText(Int(result.bytes))), all whole")
        }

        private func text(_ result: VerificationReport) -> String {
            let dropped = result.damaged.map { "damaged: \($0)" } + result.missing.map { "missing: \($0)" }
            var lines = dropped
            if !dropped.isEmpty { lines.append("\(dropped.count) of \(result.checked) artifacts were dropped; the next run makes them anew") }
            if result.damagedRows > 0 { lines.append("\(result.damagedRows) damaged rows of the index were set right or dropped; the next run makes anew what they stood for") }
            lines += result.failures.map { "cannot remove \($0)" } + result.unreadable.map { "error: \($0)" }
            return lines.joined(separator: "\n")
        }
    }

    struct Path: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "path", abstract: "Prints the paths of a node's cached outputs.")
        @OptionGroup var graph: GraphOptions
        @Argument(help: "The node, port or instance.") var target: String
        @OptionGroup var cached: CachedGraphOptions

        func run() throws {
            let cached = try self.cached.open(graph)
            let found = try usable { try cached.artifacts(of: RunTarget(target, in: cached.graph)) }
            guard !found.isEmpty else { throw Failure.node("error: nothing of '\(target)' is cached; run the graph first") }
            for item in found {
                // A small one has no file, and none can be made, on a full disk.
                guard FileManager.default.fileExists(atPath: item.artifact.path) else {
                    throw Failure.node("error: there is no file of '\(item.instance).\(item.port)', and no room for one; free some space")
                }
                if !item.isCurrent { printError("\(item.instance).\(item.port) is of an earlier run; a run would make it anew") }
                print(item.artifact.path)
            }
        }
    }

    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "export", abstract: "Writes all that a run made into one archive, for another machine's cache.")
        @Argument(help: ArgumentHelp("The archive: .tar, .tar.gz or .tar.zst.", valueName: "archive"), completion: .file())
        var archive: String
        @Option(name: .customLong("run"), help: ArgumentHelp("The run's number; the latest if missing.", valueName: "number"))
        var number: Int64?
        @OptionGroup var store: StoreOptions

        func run() throws {
            let store = try self.store.open()
            guard let number = try number ?? Journal(store: store).runs(limit: 1).first?.id else {
                throw Failure.usage("error: no run in \(store.root) yet; run a graph first")
            }
            let result = try store.exportArchive(run: number, to: archive)
            print("run \(number): \(result.actions) results, \(byteText(Int(result.bytes))) in \(archive)")
            if result.skipped > 0 { print("\(result.skipped) results have left the cache; run the graph again to have them too") }
        }
    }

    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "import", abstract: "Takes over what an archive of 'cache export' holds.")
        @Argument(help: ArgumentHelp("The archive.", valueName: "archive"), completion: .file()) var archive: String
        @OptionGroup var store: StoreOptions

        func run() throws {
            let store = try self.store.make()
            let result = try store.importArchive(from: archive)
            if result.actions == 0 { return print("nothing to take over: all \(result.skipped) results were there already") }
            print("\(result.actions) results taken over\(result.skipped > 0 ? "; \(result.skipped) were there already" : "")")
        }
    }
}
