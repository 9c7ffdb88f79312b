import GraphKit
import NodeKit

/// Which nodes may hand on frames while they make them, by the shape of the graph alone.
///
/// A node may when all that take something from it read it in order, at one port, and nothing else that they take has to wait for it.
/// What they take besides is made first.
struct StreamEdges {
    struct Edge {
        let consumer: GraphNode
        /// The port that the frames come in at.
        let input: String
        /// The port that they come from.
        let output: String
    }

    /// By the maker's id.
    private(set) var edges: [String: [Edge]] = [:]
    /// What is to be over before a maker begins.
    private(set) var follows: [String: Set<String>] = [:]

    init(_ state: GraphState) {
        let graph = state.graph
        let wanted = Set(state.wanted.map(\.id))
        let pinned = Set(graph.pins.map(\.node))
        for node in state.wanted.reversed()
        where node.each == nil && state.demand.targets[node.id] == nil && !pinned.contains(node.id) {
            guard node.description.outputs.contains(where: { $0.type == .video || $0.type == .maps }) else { continue }
            let consumers = graph.consumers(of: node.id).filter { wanted.contains($0.id) }
            let found = consumers.compactMap { Self.edge(from: node, to: $0) }
            guard !found.isEmpty, found.count == consumers.count, Set(found.map(\.output)).count == 1 else { continue }
            var before: Set<String> = []
            for consumer in consumers {
                before.formUnion(consumer.dependencies.filter { $0 != node.id })
                before.formUnion(follows[consumer.id] ?? [])
            }
            // Not what waits for the node itself.
            guard before.isDisjoint(with: reached(from: node.id, graph)) else { continue }
            edges[node.id] = found
            follows[node.id] = before
        }
    }

    private static func edge(from maker: GraphNode, to consumer: GraphNode) -> Edge? {
        guard consumer.each == nil else { return nil }
        let wires = consumer.orderedWires.filter { $0.wire.sources.contains { $0.node == maker.id } }
        guard wires.count == 1, let (port, wire) = wires.first, port.readsInOrder, case .port(_, let output, false) = wire
        else { return nil }
        return Edge(consumer: consumer, input: port.name, output: output)
    }

    /// A node, and all that begins after it.
    private func reached(from start: String, _ graph: Graph) -> Set<String> {
        var result: Set<String> = [start]
        var rest = [start]
        while let next = rest.popLast() {
            let after = graph.consumers(of: next).map(\.id) + follows.filter { $0.value.contains(next) }.map(\.key)
            for node in after where result.insert(node).inserted { rest.append(node) }
        }
        return result
    }
}
