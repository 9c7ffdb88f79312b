/// What a drawing says about a node beside its name and type; the engine's reports colour nodes with it.
public struct NodeAnnotation: Sendable, Hashable {
    /// How the box is coloured.
    public enum Emphasis: String, Sendable, CaseIterable {
        case plain, cached, done, running, failed, stale
    }

    /// A third line in the box, for instance «12.4 s».
    public var caption: String?
    /// How the box is coloured.
    public var emphasis: Emphasis

    /// Makes an annotation.
    public init(caption: String? = nil, emphasis: Emphasis = .plain) {
        self.caption = caption
        self.emphasis = emphasis
    }
}

/// A graph as boxes and arrows, whatever language they are then written in.
struct GraphDrawing {
    enum Shape {
        case input, node, output
    }

    struct Box {
        var key: String
        var title: String
        var subtitle: String
        var shape: Shape
        var isRepeated = false
        var annotation = NodeAnnotation()
    }

    struct Arrow {
        var from: Int
        var to: Int
        var label: String
        /// Whether it only says what a node is repeated over.
        var isControl = false
    }

    var boxes: [Box] = []
    var arrows: [Arrow] = []

    init(_ graph: Graph, annotations: [String: NodeAnnotation] = [:]) {
        var inputs: [String: Int] = [:]
        var nodes: [String: Int] = [:]
        let used = Set(graph.nodes.flatMap { $0.wires.values.flatMap(Self.inputNames) })
        for input in graph.inputs where used.contains(input.name) {
            inputs[input.name] = boxes.count
            boxes.append(.init(key: "i\(boxes.count)", title: input.name, subtitle: input.kind.rawValue, shape: .input))
        }
        for node in graph.nodes {
            nodes[node.id] = boxes.count
            var subtitle = node.type.name
            if let carry = node.carry.first { subtitle += " ↻ \(carry.output)→\(carry.input)" }
            boxes.append(
                .init(
                    key: "n\(boxes.count)", title: node.id, subtitle: subtitle, shape: .node, isRepeated: node.each != nil,
                    annotation: annotations[node.id] ?? .init()))
        }
        for node in graph.nodes {
            guard let to = nodes[node.id] else { continue }
            for (port, wire) in node.orderedWires {
                connect(wire, to: to, port: port.name, inputs: inputs, nodes: nodes)
            }
            if let each = node.each, let from = nodes[each.node] {
                arrows.append(.init(from: from, to: to, label: "each", isControl: true))
            }
        }
        for output in graph.outputs {
            guard let from = nodes[output.node] else { continue }
            arrows.append(.init(from: from, to: boxes.count, label: output.port))
            boxes.append(.init(key: "o\(boxes.count)", title: output.name, subtitle: output.type.name, shape: .output))
        }
    }

    private mutating func connect(_ wire: Wire, to: Int, port: String, inputs: [String: Int], nodes: [String: Int]) {
        switch wire {
        case .input(let name):
            if let from = inputs[name] { arrows.append(.init(from: from, to: to, label: port)) }
        case .port(let node, let output, let slice):
            guard let from = nodes[node] else { return }
            let label = (output == port ? port : "\(output) → \(port)") + (slice ? " ✂" : "")
            arrows.append(.init(from: from, to: to, label: label))
        case .eachItem: break
        case .list(let wires):
            for wire in wires { connect(wire, to: to, port: port, inputs: inputs, nodes: nodes) }
        }
    }

    private static func inputNames(_ wire: Wire) -> [String] {
        switch wire {
        case .input(let name): [name]
        case .list(let wires): wires.flatMap(inputNames)
        case .port, .eachItem: []
        }
    }
}

extension Graph {
    /// The graph in the language of Graphviz.
    public func dot(annotations: [String: NodeAnnotation] = [:]) -> String {
        let drawing = GraphDrawing(self, annotations: annotations)
        func quoted(_ text: String) -> String {
            "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        }
        var text = "digraph \(quoted(name)) {\n  rankdir=LR;\n  node [fontname=\"Helvetica\", fontsize=11];\n"
        text += "  edge [fontname=\"Helvetica\", fontsize=9];\n"
        for box in drawing.boxes {
            let shape =
                switch box.shape {
                case .input: "shape=oval, style=filled, fillcolor=\"#e8f0fe\""
                case .output: "shape=oval, style=filled, fillcolor=\"#e6f4ea\""
                case .node: "shape=box, style=\"rounded,filled\", fillcolor=\"\(box.annotation.emphasis.fill)\", peripheries=\(box.isRepeated ? 2 : 1)"
                }
            let lines = [box.title, box.subtitle, box.annotation.caption].compactMap { $0 }
            let label = lines.map { quoted($0).dropFirst().dropLast() }.joined(separator: "\\n")
            text += "  \(box.key) [\(shape), label=\"\(label)\"];\n"
        }
        for arrow in drawing.arrows {
            let style = arrow.isControl ? ", style=dashed" : ""
            text += "  \(drawing.boxes[arrow.from].key) -> \(drawing.boxes[arrow.to].key) [label=\(quoted(arrow.label))\(style)];\n"
        }
        return text + "}\n"
    }

    /// The graph in the language of Mermaid.
    public func mermaid(annotations: [String: NodeAnnotation] = [:]) -> String {
        let drawing = GraphDrawing(self, annotations: annotations)
        func escaped(_ text: String) -> String {
            text.replacing("&", with: "#amp;").replacing("\"", with: "#quot;").replacing("<", with: "#lt;").replacing(">", with: "#gt;")
        }
        var text = "flowchart LR\n"
        for box in drawing.boxes {
            let lines = [box.title, box.subtitle, box.annotation.caption].compactMap { $0 }
            let label = "\"" + lines.map(escaped).joined(separator: "<br/>") + "\""
            let shape =
                switch box.shape {
                case .input, .output: "([\(label)])"
                case .node: box.isRepeated ? "[[\(label)]]" : "[\(label)]"
                }
            text += "  \(box.key)\(shape)\n"
        }
        for arrow in drawing.arrows {
            let line = arrow.isControl ? "-." + "->" : "-->"
            text += "  \(drawing.boxes[arrow.from].key) \(line)|\"\(escaped(arrow.label))\"| \(drawing.boxes[arrow.to].key)\n"
        }
        for emphasis in NodeAnnotation.Emphasis.allCases where emphasis != .plain {
            let keys = drawing.boxes.filter { $0.annotation.emphasis == emphasis }.map(\.key)
            guard !keys.isEmpty else { continue }
            text += "  classDef \(emphasis.rawValue) fill:\(emphasis.fill);\n  class \(keys.joined(separator: ",")) \(emphasis.rawValue);\n"
        }
        return text
    }
}

extension NodeAnnotation.Emphasis {
    /// The box's colour.
    var fill: String {
        switch self {
        case .plain: "#ffffff"
        case .cached: "#eceff1"
        case .done: "#e6f4ea"
        case .running: "#fff7d6"
        case .failed: "#fce8e6"
        case .stale: "#fdeedc"
        }
    }
}
