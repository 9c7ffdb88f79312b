/// What waits for what, so that nothing is made to wait for itself.
struct WaitGraph<Node: Hashable> {
    private var edges: [Node: [Node]] = [:]

    /// From here on a node waits for these.
    mutating func set(_ others: [Node], of node: Node) { edges[node] = others.isEmpty ? nil : others }

    /// Whether a node waits for another one, directly or through others.
    func reaches(_ goal: Node, from start: Node) -> Bool {
        var rest = [start]
        var seen: Set<Node> = [start]
        while let node = rest.popLast() {
            if node == goal { return true }
            for next in edges[node] ?? [] where seen.insert(next).inserted { rest.append(next) }
        }
        return false
    }
}
