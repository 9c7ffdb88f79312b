import Foundation
import NodeKit
import Testing

@testable import GraphKit

@Suite struct RenderingTests {
    private func graph() throws -> Graph {
        let text = """
            understudy: 1
            name: small & "quoted"
            inputs: { clip: { type: video, default: a.mp4 } }
            nodes:
              frames: { type: video.decode, in: { file: inputs.clip } }
              segments: { type: segments.plan, in: { video: frames.video } }
              track:
                type: skeleton.track
                each: segments.list
                in: { video: frames.video[each.range] }
            outputs: { pose: track.pose }
            """
        return try #require(check(text).graph)
    }

    @Test func dot() throws {
        #expect(
            try graph().dot(annotations: ["frames": .init(caption: "2.1 s", emphasis: .cached)]) == #"""
                digraph "small & \"quoted\"" {
                  rankdir=LR;
                  node [fontname="Helvetica", fontsize=11];
                  edge [fontname="Helvetica", fontsize=9];
                  i0 [shape=oval, style=filled, fillcolor="#e8f0fe", label="clip\nvideo"];
                  n1 [shape=box, style="rounded,filled", fillcolor="#eceff1", peripheries=1, label="frames\nvideo.decode\n2.1 s"];
                  n2 [shape=box, style="rounded,filled", fillcolor="#ffffff", peripheries=1, label="segments\nsegments.plan"];
                  n3 [shape=box, style="rounded,filled", fillcolor="#ffffff", peripheries=2, label="track\nskeleton.track"];
                  o4 [shape=oval, style=filled, fillcolor="#e6f4ea", label="pose\nlist<pose>"];
                  i0 -> n1 [label="file"];
                  n1 -> n2 [label="video"];
                  n1 -> n3 [label="video ✂"];
                  n2 -> n3 [label="each", style=dashed];
                  n3 -> o4 [label="pose"];
                }

                """#)
    }

    @Test func mermaid() throws {
        #expect(
            try graph().mermaid(annotations: ["frames": .init(emphasis: .cached)]) == """
                flowchart LR
                  i0(["clip<br/>video"])
                  n1["frames<br/>video.decode"]
                  n2["segments<br/>segments.plan"]
                  n3[["track<br/>skeleton.track"]]
                  o4(["pose<br/>list#lt;pose#gt;"])
                  i0 -->|"file"| n1
                  n1 -->|"video"| n2
                  n1 -->|"video ✂"| n3
                  n2 -.->|"each"| n3
                  n3 -->|"pose"| o4
                  classDef cached fill:#eceff1;
                  class n1 cached;

                """)
    }

    @Test func svgBoxesDoNotOverlap() throws {
        let text = try String(contentsOf: fixtures.appendingPathComponent("animate.yaml"), encoding: .utf8)
        let graph = try #require(check(text).graph)
        let drawing = GraphDrawing(graph)
        let sizes = drawing.boxes.map { _ in (width: 100.0, height: 40.0) }
        let layout = LayeredLayout(sizes: sizes, arrows: drawing.arrows.map { ($0.from, $0.to) }, layerGap: 50)
        for a in sizes.indices {
            #expect(layout.centres[a].y >= 20 && layout.centres[a].y <= layout.height - 20)
            for b in 0..<a {
                let (p, q) = (layout.centres[a], layout.centres[b])
                #expect(abs(p.x - q.x) >= 100 || abs(p.y - q.y) >= 40)
            }
        }
        for arrow in drawing.arrows { #expect(layout.centres[arrow.from].x < layout.centres[arrow.to].x) }
        let svg = graph.svg()
        #expect(svg == graph.svg())
        #expect(svg.contains("dit.segment ↻ last→initial"))
        #expect(try self.graph().svg().contains("<title>small &amp; &quot;quoted&quot;</title>"))
    }

    @Test func theSchemaIsJSONAndNamesEveryType() throws {
        for isOverlay in [false, true] {
            let text = GraphSchema.json(catalogue: TestCatalogue.all, isOverlay: isOverlay)
            let schema = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
            let definitions = try #require(schema["$defs"] as? [String: Any])
            for type in TestCatalogue.descriptions {
                #expect(definitions["in \(type.type)"] != nil)
                #expect(definitions["with \(type.type)"] != nil)
            }
        }
    }
}
