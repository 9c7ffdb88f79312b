import Engine
import Foundation
import NodeKit

/// One number as a table.
func number(_ value: Double) -> Table { Table(columns: [.init("value")], rows: [("", [value])]) }

extension Table {
    var number: Double { values.first?.first ?? .nan }
}

struct Constant: Node {
    static let type: NodeType = "t.constant"
    static let version = 1
    static let summary = "A number."
    @Parameter("The number.") var value = 1.0
    @Output("It.") var out: Table
    init() {}
    func run(in context: NodeContext) throws { try $out.set(Tests.number(value)) }
}

enum Tests { static let number: @Sendable (Double) -> Table = { EngineTests.number($0) } }

struct Add: Node {
    static let type: NodeType = "t.add"
    static let version = 1
    static let summary = "Adds."
    @Input("One.") var a: Table
    @Input("Another.") var b: Table?
    @Parameter("Added too.") var bias = 0.0
    @Output("The sum.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        try $out.set(Tests.number(a.number + (b?.number ?? 0) + bias))
    }
}

struct Sign: Node {
    static let type: NodeType = "t.sign"
    static let version = 1
    static let summary = "−1, 0 or 1."
    @Input("A number.") var a: Table
    @Output("Its sign.") var out: Table
    init() {}
    func run(in context: NodeContext) throws { try $out.set(Tests.number(a.number == 0 ? 0 : a.number > 0 ? 1 : -1)) }
}

/// Reads numbers, one per line, as face motion of one token with one channel.
struct ReadMotion: Node {
    static let type: NodeType = "t.read"
    static let version = 1
    static let summary = "Reads numbers."
    @Input("Text.") var file: File
    @Output("A frame per line.") var motion: FaceMotion
    init() {}
    func run(in context: NodeContext) throws {
        let text = try String(contentsOfFile: file.path, encoding: .utf8)
        let values = text.split(separator: "\n").compactMap { Float($0) }
        try $motion.set(
            FaceMotion(timeline: Timeline(rate: Rational(25), count: values.count), tokenCount: 1, channels: 1, tokens: values))
    }
}

struct SplitMotion: Node {
    static let type: NodeType = "t.split"
    static let version = 1
    static let summary = "Segments that share their joints."
    @Input("Frames.") var motion: FaceMotion
    @Parameter("Frames per segment.") var frames = 5
    @Output("Segments.") var list: Segments
    init() {}
    func run(in context: NodeContext) throws {
        let count = motion.timeline.count
        var ranges: [Range<Int>] = []
        var start = 0
        while start + frames <= count {
            ranges.append(start..<(start + frames))
            start += frames - 1
        }
        try $list.set(Segments(ranges: ranges, frameCount: count))
    }
}

/// Sums its segment, upon what the segment before gave.
struct Step: Node {
    static let type: NodeType = "t.step"
    static let version = 1
    static let summary = "Sums."
    static let cost = NodeCost(threads: .all)
    @Input("A segment.") var motion: FaceMotion
    @Input("From the segment before.") var initial: Table?
    @Input("Itself.") var item: Segments?
    @Parameter("Added.") var seed = 0
    @Output("The sum.") var last: Table
    init() {}
    func run(in context: NodeContext) throws {
        context.progress(1, of: 1, "steps")
        let sum = motion.tokens.reduce(0) { $0 + Double($1) }
        try $last.set(Tests.number(sum + (initial?.number ?? 0) + Double(seed)))
    }
}

struct Total: Node {
    static let type: NodeType = "t.total"
    static let version = 1
    static let summary = "Sums a list."
    @Input("Numbers.") var values: [Table]
    @Output("The sum.") var out: Table
    init() {}
    func run(in context: NodeContext) throws { try $out.set(Tests.number(values.reduce(0) { $0 + $1.number })) }
}

/// Makes 1, 2, 3, …, and one more number.
struct Count: Node {
    static let type: NodeType = "t.count"
    static let version = 1
    static let summary = "Numbers."
    @Parameter("How many.") var count = 3
    @Parameter("The last one.") var last = 10.0
    @Output("Them.") var numbers: [Table]
    init() {}
    func run(in context: NodeContext) throws {
        try $numbers.set((1...count).map { Tests.number($0 < count ? Double($0) : last) })
    }
}

struct Fails: Node {
    static let type: NodeType = "t.fail"
    static let version = 1
    static let summary = "Fails unless told not to."
    @Input("A number.") var a: Table
    @Parameter("Whether it works.") var works = false
    @Output("The number.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        context.log("looking at \(a.number)")
        if !works { throw NodeError("the number \(a.number) is not to its taste") }
        try $out.set(a)
    }
}

/// Counts to ten with a checkpoint per step; waits between steps, and dies when told to.
struct Slow: Node {
    static let type: NodeType = "t.slow"
    static let version = 1
    static let summary = "Takes its time."
    @Input("Waits for it.") var a: Table?
    @Parameter("Per step.") var milliseconds = 20
    @Parameter("Tells two apart.") var seed = 0
    @Output("How many steps were done in this go.") var steps: Table
    static let runs = Counter()
    init() {}
    func run(in context: NodeContext) throws {
        Self.runs.increment()
        var done = context.checkpoints?.load().map { Int($0[0]) } ?? 0
        while done < 10 {
            try context.checkCancelled()
            Thread.sleep(forTimeInterval: Double(milliseconds) / 1000)
            done += 1
            try context.checkpoints?.save([UInt8(done)])
            context.progress(done, of: 10, "steps")
        }
        try $steps.set(Tests.number(Double(10 + seed)))
    }
}

/// Holds memory for a moment.
struct Hold: Node {
    static let type: NodeType = "t.hold"
    static let version = 1
    static let summary = "Holds memory."
    @Input("Waits for it.") var a: Table
    @Parameter("How much.") var megabytes = 1
    @Output("How much it was.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        let bytes = [UInt8](repeating: 1, count: megabytes << 20)
        try $out.set(Tests.number(Double(bytes.count)))
    }
}

final class Counter: Sendable {
    private let lock = NSLock()
    nonisolated(unsafe) private var count = 0  // guarded by `lock`
    func increment() { lock.withLock { count += 1 } }
    var value: Int { lock.withLock { count } }
}

let testCatalogue: [NodeType: NodeDefinition] = {
    let all: [NodeDefinition] = [
        .init(Constant.self), .init(Add.self), .init(Sign.self), .init(ReadMotion.self), .init(SplitMotion.self),
        .init(Step.self), .init(Total.self), .init(Fails.self), .init(Slow.self), .init(Hold.self),
        .init(Count.self),
    ]
    return Dictionary(uniqueKeysWithValues: all.map { ($0.description.type, $0) })
}()
