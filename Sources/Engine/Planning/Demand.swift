import GraphKit

/// What a run wants of a graph: which instances of which nodes, which of them run whatever is cached, and whose outputs must
/// be there in the end.
struct Demand {
    /// One output of a node, or of one instance of it.
    struct Port: Hashable {
        let node: String
        var index: Int?
        let port: String
    }

    /// By node; a node that is missing is not wanted.
    private(set) var wanted: [String: InstanceSet] = [:]
    /// Instances that run even if they are cached.
    private(set) var forced: [String: InstanceSet] = [:]
    /// Instances whose outputs must be there in the end; of the others it is enough to know what they made.
    private(set) var targets: [String: InstanceSet] = [:]
    /// What the user named, by node: to be checked once it is known how many instances there are.
    private(set) var named: [String: InstanceSet] = [:]
    /// The ports that something takes, by node.
    private var used: [String: Set<String>] = [:]
    private let pinned: Set<Port>
    /// Whether the user said how far to go.
    private let hasTargets: Bool

    /// - Throws: ``UsageError`` when something is to be run again that the targets do not need.
    init(of graph: Graph, _ options: RunOptions) throws {
        pinned = Set(graph.pins.map { Port(node: $0.node, index: $0.index, port: $0.port) })
        for target in options.targets + options.from + options.force { named[target.node, default: .init()].insert(target.instances) }
        hasTargets = !options.targets.isEmpty
        let outputs = graph.outputs.map { RunTarget(node: $0.node, port: $0.port) }
        let all = graph.nodes.map { RunTarget(node: $0.id) }
        for target in options.targets.isEmpty ? (outputs.isEmpty ? all : outputs) : options.targets {
            let ports = target.port.map { [$0] } ?? graph.node(target.node)?.description.outputs.map(\.name) ?? []
            used[target.node, default: []].formUnion(ports)
            // A file stands in for all that is asked for: nothing is to be made.
            if target.instances == .all, !ports.isEmpty,
                ports.allSatisfy({ pinned.contains(Port(node: target.node, port: $0)) })
            { continue }
            targets[target.node, default: .init()].insert(target.instances)
        }
        wanted = targets
        for target in options.force + options.from {
            forced[target.node, default: .init()].insert(target.instances)
            if options.targets.isEmpty { wanted[target.node, default: .init()].insert(target.instances) }
        }
        for node in graph.nodes.reversed() {
            if let instances = wanted[node.id] { want(what: node, instances, in: graph) }
        }
        if !options.targets.isEmpty {
            for target in options.force + options.from where wanted[target.node] == nil {
                throw UsageError(
                    "'\(target)' is not among what \(options.targets.map { "'\($0)'" }.joined(separator: ", ")) needs: name it with --to too")
            }
        }
        spread(options.from, in: graph)
    }

    /// Whether a value is given by a file.
    func isPinned(_ instance: InstanceID, _ port: String) -> Bool {
        !pinned.isEmpty && pinned.contains(Port(node: instance.node, index: instance.index, port: port))
    }

    /// Whether files stand in for all that anything takes from an instance.
    func isReplaced(_ instance: InstanceID) -> Bool {
        guard !pinned.isEmpty, let ports = used[instance.node], !ports.isEmpty else { return false }
        return ports.allSatisfy { isPinned(instance, $0) }
    }

    /// Whether an instance may run because it is forced: beyond the user's targets only if it was named.
    func allowsForcing(_ instance: InstanceID, _ frames: Range<Int>?) -> Bool {
        !hasTargets || named[instance.node]?.contains(instance.index, frames) ?? false
    }

    /// Wants what some instances of a node take.
    private mutating func want(what node: GraphNode, _ instances: InstanceSet, in graph: Graph) {
        func take(_ source: String, _ port: String, _ part: InstanceSet) {
            // Only what files stand in for is asked about.
            if !pinned.isEmpty { used[source, default: []].insert(port) }
            if !pinned.contains(Port(node: source, port: port)) { wanted[source, default: .init()].formUnion(part) }
        }
        for carry in node.carry { used[node.id, default: []].insert(carry.output) }
        var usesItem = false
        func take(_ wire: Wire) {
            switch wire {
            case .input: break
            case .list(let wires): wires.forEach(take)
            case .port(let source, let port, _): take(source, port, .all)
            case .eachItem: usesItem = true
            }
        }
        node.wires.values.forEach(take)
        guard let each = node.each else { return }
        // Of a list that another node's instances make, an instance takes the one at its own place.
        let isOneToOne = graph.node(each.node)?.each != nil && usesItem && node.carry.isEmpty
        take(each.node, each.port, isOneToOne ? instances : .all)
    }

    /// Everything that depends on what is named runs again too: of a node with `each`, the instances at the same places and,
    /// where one hands something to the next, those after them.
    private mutating func spread(_ from: [RunTarget], in graph: Graph) {
        guard !from.isEmpty else { return }
        var reached: [String: (instances: InstanceSet, ports: Set<String>?)] = [:]
        for target in from {
            var old = reached[target.node] ?? (InstanceSet(), [])
            old.instances.insert(target.instances)
            if let port = target.port { old.ports?.insert(port) } else { old.ports = nil }
            reached[target.node] = old
        }
        for node in graph.nodes {
            func touches(_ source: String, _ port: String) -> Bool {
                reached[source].map { $0.ports?.contains(port) ?? true } ?? false
            }
            var instances = InstanceSet()
            var isReached = false
            for (source, port) in node.wires.values.flatMap(\.sources) where touches(source, port) {
                isReached = true
                instances.insert(.all)
            }
            if let each = node.each, touches(each.node, each.port) {
                isReached = true
                let isOneToOne = graph.node(each.node)?.each != nil
                instances.formUnion(isOneToOne ? reached[each.node]?.instances ?? .all : .all)
            }
            if isReached {
                forced[node.id, default: .init()].formUnion(instances)
                instances.formUnion(reached[node.id]?.instances ?? .init())
                reached[node.id] = (instances, nil)
            }
        }
        for node in graph.nodes where !node.carry.isEmpty && reached[node.id] != nil { spreadsOn.insert(node.id) }
    }

    /// Nodes with `carry` of which the instances after a forced one run again too.
    private(set) var spreadsOn: Set<String> = []
}
