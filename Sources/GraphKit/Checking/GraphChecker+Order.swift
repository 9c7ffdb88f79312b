extension GraphChecker {
    /// The nodes so that each comes after what it depends on; ties go by the order of the file.
    ///
    /// A depth-first walk with its own stack: a chain of ten thousand nodes must not overflow the thread's.
    mutating func topologicalOrder() -> [Int] {
        enum Mark { case unseen, open, done }
        var marks = [Mark](repeating: .unseen, count: drafts.count)
        var order: [Int] = []
        order.reserveCapacity(drafts.count)
        var stack: [(node: Int, next: Int)] = []
        for root in drafts.indices where marks[root] == .unseen {
            marks[root] = .open
            stack.append((root, 0))
            while let top = stack.last {
                guard top.next < drafts[top.node].dependencies.count else {
                    marks[top.node] = .done
                    order.append(top.node)
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                let source = drafts[top.node].dependencies[top.next].source
                switch marks[source] {
                case .unseen:
                    marks[source] = .open
                    stack.append((source, 0))
                case .open:
                    let first = stack.lastIndex { $0.node == source } ?? 0
                    reportCycle(stack[first...].map { drafts[$0.node].dependencies[$0.next - 1] }, of: stack[first...].map(\.node))
                case .done: break
                }
            }
        }
        return order
    }

    /// - Parameters:
    ///   - wires: Wire i is what node i takes from node i + 1, the last one from the first node.
    ///   - nodes: The cycle, each node after what depends on it.
    private mutating func reportCycle(_ wires: [Dependency], of nodes: [Int]) {
        if diagnostics.isFull { return diagnostics.add(Diagnostic(.cycle, "", at: nil)) }
        // Shown along the flow of data and from the node that comes first in the file, whichever way it was found.
        var links = Array(zip(nodes, wires).reversed())
        let earliest = nodes.min()
        if let first = links.firstIndex(where: { $0.0 == earliest }) { links = Array(links[first...] + links[..<first]) }
        var names = links.map { drafts[$0.0].id }
        names.append(names[0])
        if names.count > 14 { names.replaceSubrange(10..<(names.count - 2), with: ["…"]) }
        // The wire that enters the first node closes the circle: it is the likely one to cut.
        let closing = links[0].1
        var notes = links.dropFirst().prefix(8).map { Diagnostic.Note("'\(drafts[$0.0].id)' takes '\($0.1.text)' here", at: $0.1.range) }
        notes.append(.init("cut one of these wires; from one instance of 'each' to the next, use 'carry:'"))
        diagnostics.add(
            Diagnostic(
                .cycle, "the nodes feed each other in a circle: " + names.joined(separator: " → "), at: closing.range,
                notes: notes))
    }
}
