@testable import Engine
import Foundation
import NodeKit
import Testing

/// What happens between two runs.
enum Edit: CaseIterable {
    case parameter, wire, clip, version, pin, evict, delete, damage, nothing
    /// A run that is stopped on its way.
    case stop

    init(using random: inout SplitMix64) throws { self = try #require(Self.allCases.randomElement(using: &random)) }

    /// Does to some of the store's objects what `gc`, a careless hand or a bad disk does.
    func apply(to store: CacheStore, using random: inout SplitMix64) throws {
        let objects = try store.list().sorted { $0.digest < $1.digest }
        let victims = objects.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
        if case .evict = self {
            let kept = Set(objects.map(\.digest)).subtracting(victims.map(\.digest))
            for digest in kept { try store.setPinned(true, digest: digest) }
            _ = try store.gc(maxBytes: 0)
            for digest in kept { try store.setPinned(false, digest: digest) }
            return
        }
        for object in victims {
            let path = store.path(of: object.digest, suffix: object.suffix)
            if case .delete = self {
                unlink(path)
            } else if FileManager.default.fileExists(atPath: path) {
                chmod(path, 0o644)
                try Data("no tensors".utf8).write(to: URL(filePath: path))
            }
        }
    }
}

/// A graph of numbers whose few values often coincide, so that edits are cut off early and instances share keys.
struct RandomGraph {
    static let types: [NodeType] = ["t.constant", "t.add", "t.sign", "t.read", "t.split", "t.step", "t.total", "t.count", "p.film", "p.shade", "p.mean"]
    static let catalogue: [NodeType: NodeDefinition] = {
        let films: [NodeDefinition] = [.init(GreyFilm.self), .init(Shade.self), .init(MeanGrey.self)]
        return films.reduce(into: testCatalogue) { $0[$1.description.type] = $1 }
    }()

    /// A node that gives one number.
    struct Number {
        var kind: Int
        var parameter: Int
        var sources: [Int]
    }

    private var numbers: [Number] = []
    private var lines: [Int] = []
    private var frames = 4
    private var seed = 0
    private var isCarried = true
    private var takesItem = true
    private var list = (count: 3, last: 2, bias: 1)
    /// Frames that may be handed on without being stored: their greys, what is added by two nodes, and to the means.
    private var film: (greys: [Int], shades: [Int], plus: Int)?
    private var outputs: [Int] = []
    /// Ports that a file stands in for.
    private var pins: Set<String> = []

    init(using random: inout SplitMix64) {
        lines = (0..<Int.random(in: 8...14, using: &random)).map { _ in Int.random(in: 0...1, using: &random) }
        isCarried = .random(using: &random)
        takesItem = .random(using: &random)
        for index in 0..<Int.random(in: 4...9, using: &random) {
            let sources = index == 0 ? [] : (0..<2).map { _ in Int.random(in: 0..<index, using: &random) }
            let kind = index == 0 ? 0 : Int.random(in: 0...4, using: &random)
            numbers.append(Number(kind: kind, parameter: Int.random(in: 0...2, using: &random), sources: sources))
        }
        if Bool.random(using: &random) { film = ([0, Int.random(in: 0...1, using: &random)], [0, Int.random(in: 0...1, using: &random)], 0) }
        outputs = numbers.indices.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
    }

    var clip: String { lines.map { "\($0)\n" }.joined() }

    mutating func apply(_ edit: Edit, using random: inout SplitMix64) {
        let index = Int.random(in: 0..<numbers.count, using: &random)
        switch edit {
        case .parameter:
            switch Int.random(in: 0..<8, using: &random) {
            case 0: frames = Int.random(in: 3...5, using: &random)
            case 1: seed = Int.random(in: 0...1, using: &random)
            case 2: list = (Int.random(in: 1...4, using: &random), Int.random(in: 1...4, using: &random), list.bias)
            case 3: list.bias = Int.random(in: 0...2, using: &random)
            case 4: film?.greys[Int.random(in: 0...1, using: &random)] = Int.random(in: 0...1, using: &random)
            case 5:
                film?.shades[Int.random(in: 0...1, using: &random)] = Int.random(in: 0...1, using: &random)
                film?.plus = Int.random(in: 0...1, using: &random)
            default: numbers[index].parameter = Int.random(in: 0...2, using: &random)
            }
        case .wire: if index > 0 { numbers[index].sources[0] = Int.random(in: 0..<index, using: &random) }
        case .clip:
            if Bool.random(using: &random) { lines[lines.count - 1] += 1 } else { lines.append(1) }
        case .pin:
            let port = ["n\(index).out", "step[\(index % 3)].last", "more[0].out", "sum.out", film == nil ? "sum.out" : "one.out"].randomElement(using: &random) ?? ""
            if pins.remove(port) == nil { pins.insert(port) }
        default: break
        }
    }

    var text: String {
        var text = "inputs: { clip: { type: file, default: clip.txt } }\nnodes:\n"
        for (index, number) in numbers.enumerated() {
            let names = number.sources.map { "n\($0).out" }
            text += "  n\(index): "
            switch number.kind {
            case 0: text += "{ type: t.constant, with: { value: \(number.parameter) } }\n"
            case 1, 2: text += "{ type: t.add, in: { a: \(names[0]), b: \(names[1]) }, with: { bias: \(number.parameter) } }\n"
            case 3: text += "{ type: t.sign, in: { a: \(names[0]) } }\n"
            default: text += "{ type: t.total, in: { values: [\(names.joined(separator: ", "))] } }\n"
            }
        }
        text += """
              read: { type: t.read, in: { file: inputs.clip } }
              split: { type: t.split, in: { motion: read.motion }, with: { frames: \(frames) } }
              step:
                type: t.step
                each: split.list
                \(isCarried ? "carry: { initial: last }" : "help: plain")
                in: { motion: "read.motion[each.range]"\(takesItem ? ", item: each.item" : "") }
                with: { seed: \(seed) }
              sum: { type: t.total, in: { values: step.last } }
              both: { type: t.add, in: { a: sum.out, b: n0.out } }
              count: { type: t.count, with: { count: \(list.count), last: \(list.last) } }
              more: { type: t.add, each: count.numbers, in: { a: each.item, b: n0.out }, with: { bias: \(list.bias) } }
              signs: { type: t.sign, each: more.out, in: { a: each.item } }
              all: { type: t.total, in: { values: signs.out } }
            \(films)outputs: { both: both.out, all: all.out\(film == nil ? "" : ", greys: greys.out")\(outputs.map { ", n\($0): n\($0).out" }.joined()) }
            \(pins.isEmpty ? "" : "pins:\n" + pins.sorted().map { "  \($0): pin.safetensors\n" }.joined())
            """
        return text
    }

    private var films: String {
        guard let film else { return "" }
        return """
              film: { type: p.film, with: { grey: \(film.greys[0]) } }
              again: { type: p.film, with: { grey: \(film.greys[1]) } }
              light: { type: p.shade, in: { video: film.video, more: n0.out }, with: { by: \(film.shades[0]) } }
              dark: { type: p.shade, in: { video: film.video }, with: { by: \(film.shades[1]) } }
              same: { type: p.shade, in: { video: again.video }, with: { by: \(film.shades[0]) } }
              one: { type: p.mean, in: { video: light.shaded } }
              two: { type: p.mean, in: { video: dark.shaded }, with: { plus: \(film.plus) } }
              three: { type: p.mean, in: { video: same.shaded } }
              greys: { type: t.total, in: { values: [one.out, two.out, three.out] } }

            """
    }
}

/// Frames of one grey.
private struct GreyFilm: Node {
    static let type: NodeType = "p.film"
    static let version = 1
    static let summary = "Grey frames."
    @Parameter("The grey.") var grey = 0
    @Output("Them.") var video: Video
    init() {}
    func run(in context: NodeContext) throws {
        try $video.write(width: 2, height: 1, expecting: Timeline(rate: Rational(24), count: 3)) { frames in
            for i in 0..<3 { try frames.append([UInt8](repeating: UInt8(grey), count: 6), at: Int64(i)) }
            return 3
        }
    }
}

private struct Shade: Node {
    static let type: NodeType = "p.shade"
    static let version = 1
    static let summary = "Adds to every frame."
    @Input("Frames.", readsInOrder: true) var video: Video
    @Input("How much, too.") var more: Table?
    @Parameter("How much.") var by = 0
    @Output("Other frames.") var shaded: Video
    init() {}
    func run(in context: NodeContext) throws {
        let add = UInt8(by) &+ UInt8(more?.number ?? 0)
        try $shaded.write(width: 2, height: 1, expecting: video.timeline) { frames in
            for i in 0..<video.count { try frames.append(video.frame(i).map { $0 &+ add }, at: video.timeline.timestamps[i]) }
            return video.timeline.end
        }
    }
}

private struct MeanGrey: Node {
    static let type: NodeType = "p.mean"
    static let version = 1
    static let summary = "Sums the frames' first bytes."
    @Input("Frames.", readsInOrder: true) var video: Video
    @Parameter("Added.") var plus = 0
    @Output("The sum.") var out: Table
    init() {}
    func run(in context: NodeContext) throws {
        try $out.set(number(Double((0..<video.count).reduce(plus) { $0 + Int(video.frame($1)[0]) })))
    }
}

/// Steele, Lea and Flood's SplitMix64: the same numbers on every machine.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
