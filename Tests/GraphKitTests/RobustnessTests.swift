import Foundation
import NodeKit
import Testing

@testable import GraphKit

/// What no file may do: crash, hang, or pass for a graph.
@Suite struct RobustnessTests {
    /// SplitMix64: the same «random» files on every run.
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private func checkBytes(_ bytes: [UInt8]) -> (graph: Graph?, diagnostics: Diagnostics) {
        var diagnostics = Diagnostics()
        let file = SourceFile(name: "g.yaml", directory: FileManager.default.temporaryDirectory, bytes: bytes)
        guard let syntax = GraphSyntax.parse(file, diagnostics: &diagnostics) else { return (nil, diagnostics) }
        let graph = Graph.check(
            syntax, catalogue: TestCatalogue.all, options: .init(checksFiles: false), diagnostics: &diagnostics)
        return (graph, diagnostics)
    }

    @Test func randomBytesAndDamagedGraphsAreDiagnosed() throws {
        let good = [UInt8](try Data(contentsOf: fixtures.appendingPathComponent("animate.yaml")))
        let tokens = ["- ", ": ", "{", "}", "[", "]", "&a ", "*a", "<<: *a", "!x ", "|\n", ">\n", "\t", "\"", "'", "#", "\n  ", "---\n", "? ", "%", "null", "each.item", "[each.range]"]
        var random = Generator(state: 1)
        for round in 0..<1500 {
            var bytes = good
            switch round % 3 {
            case 0: bytes = (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            case 1:
                for _ in 0...Int.random(in: 0...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 9...126, using: &random)
                }
            default:
                for _ in 0...Int.random(in: 0...4, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    let end = min(bytes.count, place + Int.random(in: 0...12, using: &random))
                    bytes.replaceSubrange(place..<end, with: Array((tokens.randomElement(using: &random) ?? "").utf8))
                }
            }
            let (graph, diagnostics) = checkBytes(bytes)
            #expect(diagnostics.hasErrors == (graph == nil))
            #expect(diagnostics.hasErrors != DiagnosticRenderer().render(diagnostics).isEmpty)
        }
    }

    @Test func aliasesMayRepeatButNotExplode() {
        // 2^40 values when written out; refused long before.
        var text = "understudy: 1\nx-a0: &a0 [1, 2]\n"
        for level in 1..<40 { text += "x-a\(level): &a\(level) [*a\(level - 1), *a\(level - 1)]\n" }
        #expect(checkBytes(Array(text.utf8)).diagnostics.all.map(\.id) == [.yamlAliasBomb])
        // An alias that repeats deep nesting counts as deep.
        let deep = "understudy: 1\nx-a: &a " + String(repeating: "[", count: 50) + String(repeating: "]", count: 50)
            + "\nx-b: &b " + String(repeating: "[", count: 40) + "*a" + String(repeating: "]", count: 40) + "\n"
        #expect(checkBytes(Array(deep.utf8)).diagnostics.all.map(\.id) == [.yamlDepth])
        // An anchor inside itself is not there yet.
        #expect(checkBytes(Array("x-a: &a [*a]\n".utf8)).diagnostics.all.first?.id == .yamlAlias)
    }

    /// A chain of ten thousand decode → encode pairs: quadratic work anywhere would take minutes.
    @Test(.timeLimit(.minutes(1))) func tenThousandNodes() throws {
        var text = "understudy: 1\ninputs: { clip: { type: video, default: a.mp4 } }\nnodes:\n"
        // Written backwards, so that order must be found and recursion would go ten thousand deep.
        for index in (0..<5000).reversed() {
            text += "  e\(index): { type: video.encode, in: { video: d\(index).video }, with: { crf: 20 } }\n"
            text += "  d\(index):\n    type: video.decode\n    in: { file: \(index == 0 ? "inputs.clip" : "e\(index - 1).file") }\n"
        }
        let (graph, diagnostics) = checkBytes(Array(text.utf8))
        #expect(DiagnosticRenderer().render(diagnostics) == "")
        #expect(graph?.nodes.first?.id == "d0")
        #expect(graph?.nodes.last?.id == "e4999")

        // The same with an error in every wire: suggestions are bounded, the count is told.
        let broken = checkBytes(Array(text.replacing(".video }", with: ".viedo }").replacing("d4", with: "q4").utf8))
        #expect(broken.graph == nil)
        #expect(broken.diagnostics.dropped > 4000)
        let closed = text.replacing("inputs.clip", with: "e4999.file")
        #expect(checkBytes(Array(closed.utf8)).diagnostics.all.map(\.id) == [.cycle])
    }

    @Test func canonicalParametersAreStable() throws {
        var random = Generator(state: 7)
        func literal(_ depth: Int) -> ParameterLiteral {
            switch Int.random(in: 0...(depth > 2 ? 4 : 6), using: &random) {
            case 0: return .null
            case 1: return .bool(.random(using: &random))
            case 2: return .integer(.random(in: -1_000_000...1_000_000, using: &random))
            case 3: return .number(.random(in: -1e6...1e6, using: &random) * (Bool.random(using: &random) ? 1e-9 : 1e18))
            case 4:
                let letters = Array("aZ09 :#{}[],&*!|>'\"%@`\\/\n\t-?~äπ漢🎭")
                return .string(String((0..<Int.random(in: 0...12, using: &random)).compactMap { _ in letters.randomElement(using: &random) }))
            case 5: return .list((0..<3).map { _ in literal(depth + 1) })
            default: return .map(["true": literal(depth + 1), "b: c": literal(depth + 1), "x": literal(depth + 1)])
            }
        }
        for _ in 0..<300 {
            let value = literal(0)
            let text = "understudy: 1\nnodes:\n  dit:\n    type: dit.segment\n    with: { extra: \(value.canonical) }\n"
            let file = SourceFile(name: "g.yaml", directory: fixtures, text: text)
            var diagnostics = Diagnostics()
            let syntax = try #require(GraphSyntax.parse(file, diagnostics: &diagnostics))
            var checker = GraphChecker(
                syntax: syntax, catalogue: TestCatalogue.all, options: .init(), diagnostics: diagnostics)
            _ = checker.run()
            #expect(checker.drafts.first?.parameters["extra"]?.canonical == value.canonical)
        }
    }
}
