import Engine
import Foundation
import GraphKit
import MediaFilesNode
import NodeCatalog
import NodeKit
import NodeTesting
import Testing

/// The bundled graph on the bundled clip, as a user runs it; with one denoising step, to be quick.
struct ExampleTests {
    let bench: NodeBench
    init() throws { bench = try NodeBench() }

    private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// The bundled clip without loss, with a bright block in the middle of the picture from a frame on.
    private func driving(blockFrom first: Int) throws -> String {
        let film = try bench.file("\(root)/Examples/mira/driving.mp4")
        let clip: Video = try bench.run(VideoDecode.self, inputs: ["file": film])["video"]
        let changed = try bench.artifact(.video) { writer in
            let output = try FrameWriter(writer, width: clip.width, height: clip.height, timeBase: clip.timeline.timeBase)
            for f in 0..<clip.count {
                var pixels = clip.frame(f)
                if f >= first {
                    for y in (clip.height / 4)..<(clip.height / 2) {
                        let row = (y * clip.width + clip.width / 4) * 3
                        for i in row..<(row + clip.width / 2 * 3) { pixels[i] = 255 - pixels[i] / 2 }
                    }
                }
                try output.append(pixels, at: clip.timeline.timestamps[f])
            }
            try output.finish(end: clip.timeline.end)
        }
        let encoded = try bench.run(VideoEncode.self, inputs: ["video": changed], parameters: ["codec": .string("lossless")])
        return try #require(encoded.artifacts["file"]).path
    }

    /// The segments of the DiT that a run computed, and those that it found in the cache.
    private func segments(driving: String, store: String) throws -> (ran: [Int], cached: [Int]) {
        var catalogue: [NodeType: NodeDefinition] = [:]
        for definition in NodeCatalog.definitions { catalogue[definition.description.type] = definition }
        let (graph, diagnostics) = Graph.load(
            GraphRequest(
                path: "\(root)/Graphs/example.yaml", settings: ["animate.with.steps=1"], inputs: ["driving=\(driving)"]),
            catalogue: catalogue.mapValues(\.description))
        let example = try #require(graph, "\(diagnostics.sorted.map(\.message))")
        var options = RunOptions(threads: 2)
        options.targets = [try RunTarget("animate", in: example)]
        let summary = try UnderstudyEngine(store: CacheStore(root: store), catalogue: catalogue).run(example, options: options)
        #expect(summary.failures.isEmpty, "\(summary.failures.map(\.message))")
        func animate(_ instances: [InstanceID]) -> [Int] { instances.filter { $0.node == "animate" }.compactMap(\.index).sorted() }
        return (animate(summary.ran), animate(summary.cached))
    }

    /// Segments are frames 0…24, 24…48, 48…72. Smoothing looks 0.2 s ahead: 4 frames.
    @Test func lateChangeRerunsLaterSegments() throws {
        let store = try bench.makeFolder()
        let first = try segments(driving: driving(blockFrom: .max), store: store)
        #expect(first.ran == [0, 1, 2])
        let last = try segments(driving: driving(blockFrom: 53), store: store)
        #expect(last.ran == [2] && last.cached == [0, 1])
        let second = try segments(driving: driving(blockFrom: 29), store: store)
        #expect(second.ran == [1, 2] && second.cached == [0])
    }
}
