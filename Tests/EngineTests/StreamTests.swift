import Foundation
import GraphKit
import Locking
import NodeKit
import Testing

@testable import Engine

/// How many nodes work at once; the tests that look at it run one after another.
private let working = Locked((now: 0, most: 0))

private func work() {
    working.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
    Thread.sleep(forTimeInterval: 0.001)
    working.withLock { $0.now -= 1 }
}

private struct Film: Node {
    static let type: NodeType = "s.film"
    static let version = 1
    static let summary = "Grey frames."
    @Parameter("How many.") var count = 12
    @Parameter("How many it says beforehand; 0: the same.") var says = 0
    @Parameter("Where it fails; 0: nowhere.") var fails = 0
    @Output("Them.") var video: Video
    init() {}
    func run(in context: NodeContext) throws {
        let expected = Timeline(rate: Rational(24), count: says > 0 ? says : count)
        try $video.write(width: 16, height: 8, expecting: expected) { frames in
            for i in 0..<count {
                try context.checkCancelled()
                if fails > 0, i == fails { throw NodeError("frame \(i) is torn") }
                work()
                try frames.append([UInt8](repeating: UInt8(i), count: 16 * 8 * 3), at: Int64(i))
                context.progress(i + 1, of: count)
            }
            return Int64(count)
        }
    }
}

private struct Brighten: Node {
    static let type: NodeType = "s.brighten"
    static let version = 1
    static let summary = "Adds to every frame."
    @Input("Frames.", readsInOrder: true) var video: Video
    @Input("How much, too.") var more: Table?
    @Parameter("How much.") var by = 1
    @Output("Brighter frames.") var bright: Video
    init() {}
    func run(in context: NodeContext) throws {
        let add = UInt8(by) &+ UInt8(more?.number ?? 0)
        try $bright.write(width: video.width, height: video.height, expecting: video.timeline) { frames in
            for i in 0..<video.count {
                try context.checkCancelled()
                let frame = video.frame(i)
                work()
                try frames.append(frame.map { $0 &+ add }, at: video.timeline.timestamps[i])
            }
            return video.timeline.end
        }
    }
}

private struct Mean: Node {
    static let type: NodeType = "s.mean"
    static let version = 1
    static let summary = "Sums the frames' first bytes."
    static let cost = NodeCost(threads: .all)
    @Input("Frames.", readsInOrder: true) var video: Video
    @Parameter("Reads from the end.") var backwards = false
    @Parameter("Fails at a frame; 0: never.") var fails = 0
    @Parameter("Added.") var plus = 0
    @Output("The sum, each frame times its number.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        var sum = plus
        for i in backwards ? Array((0..<video.count).reversed()) : Array(0..<video.count) {
            try context.checkCancelled()
            if fails > 0, i == fails { throw NodeError("frame \(i) is ugly") }
            sum += Int(video.frame(i)[0]) * (i + 1)
            work()
        }
        try $out.set(number(Double(sum)))
    }
}

@Suite(.serialized) struct StreamTests {
    private static let catalogue: [NodeType: NodeDefinition] = {
        var all = testCatalogue
        for node in [NodeDefinition(Film.self), .init(Brighten.self), .init(Mean.self)] { all[node.description.type] = node }
        return all
    }()

    private func workshop() throws -> Workshop { try Workshop(catalogue: Self.catalogue) }

    /// `more` is made before the frames, since who takes the frames needs it; two nodes take the brighter ones.
    private let text = """
        nodes:
          film: { type: s.film }
          more: { type: t.constant, with: { value: 3 } }
          bright: { type: s.brighten, in: { video: film.video, more: more.out } }
          mean: { type: s.mean, in: { video: bright.bright } }
          other: { type: s.mean, in: { video: bright.bright }, with: { plus: 100 } }
        outputs: { mean: mean.out, other: other.out }
        """

    private func options(streams: Bool, threads: Int = 2) -> RunOptions {
        var options = RunOptions(threads: threads)
        options.streamsAbove = streams ? 0 : 1 << 40
        return options
    }

    private func digests(_ shop: Workshop, run: Int64) throws -> [String: [String: Digest]] {
        Dictionary(uniqueKeysWithValues: try shop.engine().journal.entries(of: run).map { ($0.instance.node, $0.outputs.mapValues(\.digest)) })
    }

    private func videos(_ shop: Workshop) throws -> Int { try shop.engine().store.list().count { $0.type == "video" } }

    @Test(arguments: [1, 2, 3, 8])
    func streamsMakeTheSameAndLeaveNothing(threads: Int) throws {
        let plain = try workshop(), shop = try workshop()
        let stored = try plain.run(text, options: options(streams: false))
        working.withLock { $0 = (0, 0) }
        let ran = try shop.run(text, options: options(streams: true, threads: threads))
        #expect(ran.summary.status == .done, "\(ran.summary.failures)")
        #expect(ran.ran == stored.ran && ran.ran.count == 5)
        #expect(try digests(shop, run: 1) == digests(plain, run: 1))
        #expect(try videos(plain) == 2 && videos(shop) == 0)
        // No more of them work at once than the run has threads, and with threads to spare they do.
        let most = working.withLock { $0.most }
        #expect(most <= threads && (threads == 1 || most > 1))
        // What was not stored is known, and nobody needs it.
        let plan = try shop.plan(text)
        #expect(plan.count(.cached) == 3 && plan.count(.unneeded) == 2)
        #expect(try shop.run(text).ran.isEmpty)
        // A later node that wants the frames has all of them made again, as the plan says.
        let set = ["mean.with.plus=1"]
        let changed = try shop.plan(text, set: set)
        #expect(Set(changed.entries.filter { $0.status == .willRun }.map(\.instance.node)) == ["film", "bright", "mean"])
        let again = try shop.run(text, set: set, options: options(streams: true, threads: threads))
        #expect(again.ran == ["film", "bright", "mean"] && again.summary.status == .done)
        #expect(try shop.value("mean", text, set: set) == plain.value("mean", text) + 1)
        // Asked for by name, they are stored.
        var only = options(streams: true)
        only.targets = [RunTarget(node: "bright")]
        #expect(try shop.run(text, options: only).summary.status == .done)
        #expect(try videos(shop) == 1)
    }

    /// A maker that announced other frames, a taker that reads from the end: all is stored and made right.
    @Test(arguments: ["film.with.says=20", "film.with.says=5", "mean.with.backwards=true", "other.with.backwards=true"])
    func brokenStreamsAreStored(set: String) throws {
        let plain = try workshop(), shop = try workshop()
        _ = try plain.run(text, set: [set], options: options(streams: false))
        let ran = try shop.run(text, set: [set], options: options(streams: true))
        #expect(ran.summary.status == .done, "\(ran.summary.failures)")
        #expect(try digests(shop, run: 1) == digests(plain, run: 1))
        #expect(try shop.run(text, set: [set]).ran.isEmpty)
    }

    @Test func failuresStayWhereTheyAre() throws {
        for (set, failed, message) in [
            ("film.with.fails=6", "film", "frame 6 is torn"), ("mean.with.fails=4", "mean", "frame 4 is ugly"),
        ] {
            let shop = try workshop()
            var keep = options(streams: true)
            keep.keepsGoing = true
            let ran = try shop.run(text, set: [set], options: keep)
            #expect(ran.failed == [failed])
            #expect(ran.summary.failures.first?.message == message)
            #expect(ran.skipped == (failed == "film" ? ["bright", "mean", "other"] : []))
            #expect(ran.ran.contains("other") == (failed == "mean"))
            #expect(try shop.run(text, options: keep).summary.status == .done)
            #expect(try shop.value("mean", text) == 884)
        }
    }

    @Test func cancellingEndsAllOfThem() throws {
        let shop = try workshop()
        let cancellation = Cancellation()
        let ran = try shop.run(text, set: ["film.with.count=200"], options: options(streams: true), cancellation: cancellation) { event in
            if case .progress(_, let done, _, _) = event, done > 3 { cancellation.cancel() }
        }
        #expect(ran.summary.status == .cancelled && !ran.ran.contains("mean"))
        #expect(try shop.run(text, options: options(streams: true)).summary.status == .done)
    }

    /// Whoever comes second finds the frames' digest and no frames, and waits for what is made of them.
    @Test func twoRunsComputeAKeyOnce() async throws {
        for _ in 0..<5 {
            let shop = try workshop()
            let graph = try shop.graph(text)
            let engines = [try shop.engine(), try shop.engine(), try shop.engine()]
            let options = options(streams: true)
            let ran = try await withThrowingTaskGroup(of: RunSummary.self) { group in
                for engine in engines { group.addTask { try engine.run(graph, options: options) } }
                return try await group.reduce(into: []) { $0 += $1.ran.map(\.node) }
            }
            #expect(ran.sorted() == ["bright", "film", "mean", "more", "other"])
        }
    }

    /// Where the frames lead to something that is known already, that is not taken twice.
    @Test func whatIsKnownIsKept() throws {
        let shop = try workshop()
        _ = try shop.run(text, options: options(streams: true))
        var again = options(streams: true)
        again.force = [RunTarget(node: "film")]
        let ran = try shop.run(text, options: again)
        #expect(ran.summary.status == .done && ran.ran.contains("film"))
        #expect(ran.cached.isSuperset(of: ["mean", "other", "more"]))
        #expect(try shop.value("mean", text) == 884)
    }
}
