import Foundation
import NodeKit
import Testing

@testable import GraphKit

/// The wrong file is the test: `x.yaml` must give exactly `x.expected`.
///
/// To accept a changed wording, run the tests with `UPDATE_EXPECTED=1` and read the difference.
@Suite struct DiagnosticTests {
    static func names(_ folder: String) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: fixtures.appendingPathComponent(folder).path)) ?? []
        return files.filter { $0.hasSuffix(".yaml") && !$0.hasSuffix(".part.yaml") }.sorted()
    }

    static func load(_ name: String, in folder: String) throws -> Diagnostics {
        let directory = fixtures.appendingPathComponent(folder)
        let bytes = [UInt8](try Data(contentsOf: directory.appendingPathComponent(name)))
        var diagnostics = Diagnostics()
        let file = SourceFile(name: name, directory: directory, bytes: bytes)
        if let syntax = GraphSyntax.parse(file, diagnostics: &diagnostics) {
            let graph = Graph.check(syntax, catalogue: TestCatalogue.all, diagnostics: &diagnostics)
            #expect(graph == nil)
        }
        return diagnostics
    }

    private func compare(_ name: String, in folder: String) throws {
        let diagnostics = try Self.load(name, in: folder)
        #expect(diagnostics.hasErrors)
        let directory = fixtures.appendingPathComponent(folder)
        let rendering = DiagnosticRenderer().render(diagnostics)
            .replacingOccurrences(of: directory.path + "/", with: "")
        let expected = directory.appendingPathComponent(name).deletingPathExtension().appendingPathExtension("expected")
        if ProcessInfo.processInfo.environment["UPDATE_EXPECTED"] != nil {
            try Data(rendering.utf8).write(to: expected)
        }
        #expect(rendering == (try? String(contentsOf: expected, encoding: .utf8)))
    }

    @Test(arguments: names("Diagnostics")) func saysExactly(_ name: String) throws {
        try compare(name, in: "Diagnostics")
    }

    @Test(arguments: names("BrokenGraphs")) func brokenGraph(_ name: String) throws {
        try compare(name, in: "BrokenGraphs")
    }

    @Test func everyDiagnosticHasATest() throws {
        var seen: Set<DiagnosticID> = [.settingSyntax, .settingTarget]  // in OverlayTests
        for name in Self.names("Diagnostics") { seen.formUnion(try Self.load(name, in: "Diagnostics").all.map(\.id)) }
        #expect(Set(DiagnosticID.allCases).subtracting(seen) == [])
    }

    @Test func coloursAndControlCharacters() {
        let file = SourceFile(name: "g.yaml", directory: fixtures, text: "a\u{1B}[2Jb: ä漢x\n")
        let range = SourceRange(file: file, start: .init(line: 1, column: 11), end: .init(line: 1, column: 12))
        let diagnostic = Diagnostic(.shape, "bad \u{7}", at: range)
        #expect(
            DiagnosticRenderer().render(diagnostic) == """
                g.yaml:1:11: error: bad \u{FFFD}
                   1 | a\u{FFFD}[2Jb: ä漢x
                     |            ^

                """)
        let coloured = DiagnosticRenderer(usesColour: true).render(diagnostic)
        #expect(coloured.hasPrefix("\u{1B}[1mg.yaml:1:11:\u{1B}[0m \u{1B}[1;31merror:\u{1B}[0m "))
    }

    @Test func aFixItMends() throws {
        let text = "understudy: 1\nnodes:\n  a: { type: image.lod, in: { file: inputs.p } }\ninputs: { p: { type: image, default: x } }\n"
        var diagnostics = Diagnostics()
        let syntax = try #require(
            GraphSyntax.parse(SourceFile(name: "g.yaml", directory: fixtures, text: text), diagnostics: &diagnostics))
        _ = Graph.check(syntax, catalogue: TestCatalogue.all, options: .init(checksFiles: false), diagnostics: &diagnostics)
        let fix = try #require(diagnostics.all.first?.fixIt)
        #expect(fix.range.start == .init(line: 3, column: 14))
        #expect(fix.range.end == .init(line: 3, column: 23))
        #expect(fix.replacement == "image.load")
    }
}
