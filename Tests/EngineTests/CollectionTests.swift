import Foundation
import Locking
import NodeKit
import Testing

@testable import Engine

/// `cache gc`, by hand and after runs.
@Suite struct CollectionTests {
    private func object(_ name: String, seconds: Double, bytes: Int64) -> StoredObject {
        StoredObject(
            digest: .of(name), suffix: "safetensors", type: nil, nodes: [], bytes: bytes, seconds: seconds, created: Date(),
            used: Date(timeIntervalSince1970: 0), isPinned: false)
    }

    /// a (1 s) → b (10 s) → c (2 s), all of one size.
    @Test func whatIsMadeFromSomethingGoneCostsThatToo() {
        let objects = [object("a", seconds: 1, bytes: 100), object("b", seconds: 10, bytes: 100), object("c", seconds: 2, bytes: 100)]
        let origins: [Digest: CollectionOrder.Origin] = [
            .of("a"): .init(seconds: 1, inputs: []), .of("b"): .init(seconds: 10, inputs: [.of("a")]),
            .of("c"): .init(seconds: 2, inputs: [.of("b")]),
        ]
        var order = CollectionOrder(objects, origins: origins)
        var went: [Digest] = []
        while let next = order.next() {
            went.append(next.digest)
            order.isGone(next.digest)
        }
        // c goes before b although b without a is dearer still.
        #expect(went == [.of("a"), .of("c"), .of("b")])
        // With b gone before, c costs 12 s, and a goes first all the same; a large one goes before a small one.
        let rest = [objects[0], objects[2], object("d", seconds: 11, bytes: 1000)]
        order = CollectionOrder(rest, origins: origins)
        went = []
        while let next = order.next() {
            went.append(next.digest)
            order.isGone(next.digest)
        }
        #expect(went == [.of("a"), .of("d"), .of("c")])
    }

    private let text = """
        nodes:
          one: { type: t.slow, with: { milliseconds: 1 } }
          two: { type: t.slow, in: { a: one.steps }, with: { milliseconds: 40, seed: 2 } }
          three: { type: t.add, in: { a: two.steps }, with: { bias: 1 } }
        outputs: { out: three.out }
        """

    @Test func collectsAfterRunsAsSettingsSay() throws {
        let shop = try Workshop()
        let store = try CacheStore(root: shop.storePath)
        #expect(try store.settings().maxBytes == nil)
        #expect(try shop.run(text).summary.status == .done)
        #expect(try store.list().count == 3)
        // Room for one: what a run makes is enough to go over it, and the dearest stays.
        let bytes = try #require(try store.list().map(\.bytes).max())
        try store.set(StoreSettings(maxBytes: bytes))
        #expect(try CacheStore(root: shop.storePath).settings().maxBytes == bytes)
        let reports = Locked<[CollectionReport]>([])
        let events: @Sendable (RunEvent) -> Void = { event in
            if case .collected(let report) = event { reports.withLock { $0.append(report) } }
        }
        // A run that finds everything leaves the cache alone.
        #expect(try shop.run(text, events: events).ran.isEmpty)
        #expect(reports.withLock { $0.isEmpty })
        #expect(try shop.run(text, set: ["three.with.bias=2"], events: events).ran == ["three"])
        #expect(reports.withLock { $0.map(\.removed) } == [3])
        #expect(try store.list().map(\.nodes) == [["t.slow"]])
        // The dearest that was left is two: one goes again without being needed, three is made from two.
        let again = try shop.run(text)
        #expect(again.ran == ["three"] && again.summary.status == .done)
    }

    @Test func anotherRunAndPinnedResultsAreLeftAlone() throws {
        let shop = try Workshop()
        let store = try CacheStore(root: shop.storePath)
        let run = try shop.run(text).summary.run
        try store.set(StoreSettings(maxBytes: 0))
        // Another process's run, as this sees it.
        let other = try store.makeLease()
        #expect(try shop.run(text, set: ["three.with.bias=2"]).summary.status == .done)
        #expect(try store.list().count == 4)
        other.end()
        #expect(try store.setPinned(true, run: run) == 3)
        #expect(try shop.run(text, set: ["three.with.bias=3"]).summary.status == .done)
        #expect(try store.list().count == 3)
        #expect(try shop.run(text).ran.isEmpty)
        #expect(try store.setPinned(false, run: run) == 3)
        #expect(try store.gc(maxBytes: 0).removed == 3)
    }

    @Test("when the clock is set back while a graph runs, nobody knows what it used since: nothing goes until it is over")
    func clockSetBackWhileAnotherRuns() throws {
        let shop = try Workshop()
        let store = try CacheStore(root: shop.storePath)
        let other = try store.makeLease()
        try FileManager.default.setAttributes(
            [.modificationDate: Date().addingTimeInterval(86_400)], ofItemAtPath: "\(store.root)/active/\(other.name)")
        _ = try shop.run(text)
        #expect(try store.gc(maxBytes: 0).protected == 3)
        other.end()
        #expect(try store.gc(maxBytes: 0).removed == 3)
    }

    /// Results are removed over and over while runs go on: all end well, with the right values.
    @Test func collectingFightsNoRun() throws {
        let shop = try Workshop()
        let store = try CacheStore(root: shop.storePath)
        let stop = Locked(false)
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            while !stop.withLock({ $0 }) { _ = try? store.gc(maxBytes: 0) }
            done.signal()
        }
        for bias in 0..<12 {
            let summary = try shop.run(text, set: ["three.with.bias=\(bias % 3)"]).summary
            #expect(summary.status == .done, "\(summary.failures)")
        }
        stop.withLock { $0 = true }
        done.wait()
    }

    @Test(arguments: ["max-size: soon", "max-siez: 3", "- 1", "max-size: {"])
    func wrongSettingsAreSaid(text: String) throws {
        let shop = try Workshop()
        let store = try CacheStore(root: shop.storePath)
        try shop.write("cache/config.yaml", text)
        #expect { try store.settings() } throws: { "\($0)".contains("config.yaml:") }
        // A run is not lost for it.
        let warned = Locked(false)
        let ran = try shop.run(self.text) { event in
            if case .warning(let text) = event, text.contains("config.yaml:") { warned.withLock { $0 = true } }
        }
        #expect(ran.summary.status == .done && warned.withLock { $0 })
        try shop.write("cache/config.yaml", "# nothing yet\n")
        #expect(try store.settings().maxBytes == nil)
    }
}
