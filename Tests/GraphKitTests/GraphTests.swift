import Foundation
import NodeKit
import Testing

@testable import GraphKit

/// Checks a text against the test catalogue without looking at files, and renders what is wrong.
func check(_ text: String, options: GraphCheckOptions = .init(checksFiles: false)) -> (graph: Graph?, rendering: String) {
    var diagnostics = Diagnostics()
    let file = SourceFile(name: "g.yaml", directory: FileManager.default.temporaryDirectory, text: text)
    guard let syntax = GraphSyntax.parse(file, diagnostics: &diagnostics) else {
        return (nil, DiagnosticRenderer().render(diagnostics))
    }
    let graph = Graph.check(syntax, catalogue: TestCatalogue.all, options: options, diagnostics: &diagnostics)
    return (graph, DiagnosticRenderer().render(diagnostics))
}

let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures")

@Suite struct GraphTests {
    @Test func aWholeGraphIsReadAndOrdered() throws {
        let text = try String(contentsOf: fixtures.appendingPathComponent("animate.yaml"), encoding: .utf8)
        let (graph, rendering) = check(text)
        #expect(rendering == "")
        let animate = try #require(graph).nodes.map(\.id)
        #expect(animate == [
            "picture", "look", "frames", "skeleton", "pose", "face", "segments", "animate", "decode", "film",
        ])
        let dit = try #require(graph?.node("animate"))
        #expect(dit.each == .init(node: "segments", port: "list", over: .segments))
        #expect(dit.carry == [.init(input: "initial", output: "last")])
        #expect(dit.wires["face"] == .port(node: "face", port: "motion", slice: true))
        #expect(dit.outputType("latent") == PortType.latent.list)
        #expect(graph?.node("look")?.wires["images"] == .list([.port(node: "picture", port: "image", slice: false)]))
        #expect(graph?.node("frames")?.wires["file"] == .input("driving"))
        #expect(
            dit.canonicalParameters
                == #"{"extra":null,"guidance.motion":3,"guidance.reference":2.5,"seed":7,"shifts":[],"steps":20}"#)
        #expect(graph?.ancestors(of: ["skeleton"]).map(\.id) == ["frames", "skeleton"])
        #expect(graph?.descendants(of: ["animate"]).map(\.id) == ["animate", "decode", "film"])
    }
}
