@testable import Engine
import Foundation
import GRDB
import Locking
import NodeKit
import Testing

@Suite struct FaultTests {
    let failing = """
        nodes:
          one: { type: t.constant }
          bad: { type: t.fail, in: { a: one.out } }
          after: { type: t.sign, in: { a: bad.out } }
          other: { type: t.add, in: { a: one.out } }
          slow: { type: t.slow, in: { a: other.out }, with: { milliseconds: 5 } }
        """

    @Test func failureNamesNodeInputsAndLog() throws {
        let shop = try Workshop()
        var options = RunOptions(threads: 1)
        options.keepsGoing = true
        let run = try shop.run(failing, options: options)
        #expect(run.summary.status == .failed)
        #expect(run.ran == ["one", "other", "slow"])
        #expect(run.failed == ["bad"])
        #expect(run.skipped == ["after"])
        let failure = try #require(run.summary.failures.first)
        #expect(failure.message == "the number 1.0 is not to its taste")
        #expect(failure.inputs.first?.content == "values F64 [1, 1]")
        #expect(failure.parameters == ["works": "false"])
        let log = try String(contentsOfFile: try #require(failure.log), encoding: .utf8)
        #expect(log == "looking at 1.0\n")
        #expect(try shop.plan(failing).entries.first { $0.instance.node == "bad" }?.reasons == [.notFinished])
        // Mended, only the rest runs.
        #expect(try shop.run(failing, set: ["bad.with.works=true"]).ran == ["bad", "after"])
    }

    @Test func damagedAndMissingArtifactsAreMadeAgain() throws {
        let text = "nodes:\n  one: { type: t.constant, with: { value: 3 } }\n  two: { type: t.sign, in: { a: one.out } }"
        let shop = try Workshop(areFiles: true)
        _ = try shop.run(text)
        let graph = try shop.graph(text)
        func path(_ node: String) throws -> String {
            try #require(try shop.engine().artifacts(of: RunTarget(node: node), in: graph).first).artifact.path
        }
        let one = try path("one")
        chmod(one, 0o644)
        let handle = try #require(FileHandle(forUpdatingAtPath: one))
        try handle.seekToEnd()
        try handle.seek(toOffset: try handle.offset() - 1)
        try handle.write(contentsOf: [0xFF])
        try handle.close()
        #expect(try shop.plan(text).entries[0].reasons == [.artifactDamaged(path: one)])
        #expect(try shop.run(text).ran == ["one"])
        try FileManager.default.removeItem(atPath: try path("two"))
        #expect(try shop.run(text).ran == ["two"])
        #expect(try shop.engine().store.verify().isClean)
    }

    @Test(arguments: [true, false]) func lostIndexIsRebuilt(areFiles: Bool) throws {
        let text = "nodes:\n  one: { type: t.constant }\n  two: { type: t.sign, in: { a: one.out } }"
        let shop = try Workshop(areFiles: areFiles)
        _ = try shop.run(text)
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(shop.storePath)/index.sqlite\(suffix)") }
        #expect(try shop.run(text).ran.isEmpty)
        let others: [(String) throws -> Void] = [
            { try Data(String(repeating: "no database ", count: 1000).utf8).write(to: URL(filePath: $0)) },
            // SQLite takes a file of no bytes for a new database.
            { try Data().write(to: URL(filePath: $0)) },
            // Another program's.
            { path in
                try FileManager.default.removeItem(atPath: path)
                try DatabaseQueue(path: path).write { try $0.execute(sql: "CREATE TABLE objects (name TEXT)") }
            },
        ]
        for replace in others {
            for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(shop.storePath)/index.sqlite\(suffix)") }
            try replace("\(shop.storePath)/index.sqlite")
            #expect(try shop.run(text).ran.isEmpty)
            #expect(try shop.engine().store.verify().isClean)
        }
    }

    @Test("an artifact that is deleted while a graph runs: whoever needs it says so, and the next run makes it again")
    func artifactsDeletedUnderARun() throws {
        let text = """
            nodes:
              one: { type: t.constant, with: { value: 3 } }
              slow: { type: t.slow, with: { milliseconds: 50 } }
              sum: { type: t.add, in: { a: one.out, b: slow.steps } }
            """
        let shop = try Workshop(areFiles: true)
        var options = RunOptions(threads: 2)
        options.targets = [RunTarget(node: "one")]
        _ = try shop.run(text, options: options)
        let objects = "\(shop.storePath)/objects"
        let run = try shop.run(text) { event in
            guard case .started(let instance, _, _, _) = event, instance.node == "slow" else { return }
            for name in (try? FileManager.default.contentsOfDirectory(atPath: objects)) ?? [] {
                try? FileManager.default.removeItem(atPath: "\(objects)/\(name)")
            }
        }
        #expect(run.failed == ["sum"])
        let message = try #require(run.summary.failures.first).message
        #expect(message.contains("vanished while the graph ran; run again"), "\(message)")
        let again = try shop.run(text)
        #expect(again.summary.status == .done && again.ran.isSuperset(of: ["one", "sum"]))
        #expect(try shop.value("sum", text) == 13)
        #expect(try shop.engine().store.verify().isClean)
    }

    @Test func killedRunGoesOnFromItsCheckpoint() async throws {
        let text = "nodes:\n  one: { type: t.constant }\n  slow: { type: t.slow, in: { a: one.out } }"
        let shop = try Workshop()
        let folder = shop.folder
        await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String] in
            let shop = try Workshop(borrowed: folder)
            let text = "nodes:\n  one: { type: t.constant }\n  slow: { type: t.slow, in: { a: one.out } }"
            _ = try shop.run(text) { event in
                if case .progress(_, let done, _, _) = event, done >= 5 { kill(getpid(), SIGKILL) }
            }
        }
        #expect(try !FileManager.default.contentsOfDirectory(atPath: "\(shop.storePath)/tmp").isEmpty)
        #expect(try shop.engine().journal.runs().first?.status == .killed)
        let first = Locked(Int.max)
        let run = try shop.run(text) { event in
            if case .progress(_, let done, _, _) = event { first.withLock { $0 = min($0, done) } }
        }
        #expect(run.ran == ["slow"])
        #expect(run.cached == ["one"])
        #expect(first.withLock { $0 } >= 5)
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(shop.storePath)/tmp").isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(shop.storePath)/checkpoints").isEmpty)
        #expect(try shop.engine().store.verify().isClean)
    }

    /// Kills at many instants; what is left always runs on to the bytes of an undisturbed run.
    @Test func killsAtAnyInstantLoseNothing() async throws {
        let lines = (0..<12).map { index in
            index == 0 ? "  n0: { type: t.constant }" : "  n\(index): { type: t.add, in: { a: n\(index - 1).out }, with: { bias: \(index) } }"
        }
        let text = "nodes:\n" + lines.joined(separator: "\n")
        let undisturbed = try Workshop()
        _ = try undisturbed.run(text)
        let shop = try Workshop()
        for delay in [2, 8, 20, 40, 80] {
            let folder = shop.folder
            _ = try? await #require(processExitsWith: .failure) { [folder = folder as String, text = text as String, delay = delay as Int] in
                let shop = try Workshop(borrowed: folder)
                Thread.detachNewThread {
                    usleep(UInt32(delay) * 1000)
                    kill(getpid(), SIGKILL)
                }
                _ = try shop.run(text)
                kill(getpid(), SIGKILL)
            }
        }
        #expect(try shop.engine().store.verify().isClean)
        _ = try shop.run(text)
        #expect(try shop.engine().store.verify().isClean)
        func digests(_ shop: Workshop) throws -> Set<String> { Set(try shop.engine().store.list().map(\.digest.hex)) }
        #expect(try digests(shop) == digests(undisturbed))
    }

    @Test func twoRunsComputeAKeyOnce() async throws {
        let text = "nodes:\n  slow: { type: t.slow, with: { seed: 77 } }"
        let shop = try Workshop()
        _ = try shop.graph(text)
        let graph = try shop.graph(text)
        let engines = [try shop.engine(), try shop.engine()]
        let summaries = try await withThrowingTaskGroup(of: RunSummary.self) { group in
            for engine in engines { group.addTask { try engine.run(graph, options: RunOptions(threads: 2)) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(summaries.map(\.ran.count).sorted() == [0, 1])
        #expect(summaries.map(\.cached.count).sorted() == [0, 1])
    }

    @Test func cancelStopsAndKeepsWhatIsDone() throws {
        let shop = try Workshop()
        let text = "nodes:\n  one: { type: t.constant }\n  slow: { type: t.slow, in: { a: one.out } }\n  end: { type: t.sign, in: { a: slow.steps } }"
        let cancellation = Cancellation()
        let run = try shop.run(text, cancellation: cancellation) { event in
            if case .progress(_, let done, _, _) = event, done >= 3 { cancellation.cancel() }
        }
        #expect(run.summary.status == .cancelled)
        #expect(run.ran == ["one"])
        #expect(run.failed.isEmpty)
        #expect(run.skipped == ["end"])
        #expect(try shop.run(text).ran == ["slow", "end"])
    }

    @Test func collectionRemovesTheCheapestFirst() throws {
        let shop = try Workshop()
        let text = "nodes:\n  one: { type: t.constant }\n  slow: { type: t.slow, in: { a: one.out } }"
        _ = try shop.run(text)
        let store = try shop.engine().store
        let objects = try store.list()
        #expect(objects.count == 2)
        let report = try store.gc(maxBytes: objects.map(\.bytes).max() ?? 0)
        #expect(report.removed == 1)
        #expect(try shop.run(text).ran == ["one"])
        for object in try store.list() { try store.setPinned(true, digest: object.digest) }
        #expect(try store.gc(maxBytes: 0).protected == 2)
        #expect(try shop.run(text).ran.isEmpty)
    }
}
