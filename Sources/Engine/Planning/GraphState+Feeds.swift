import GraphKit
import NodeKit

/// What instances take, and the keys that follow from it.
extension GraphState {
    /// What each wired port of an instance gets.
    func feeds(of node: GraphNode, _ instance: InstanceID) -> [(port: String, feeds: [Feed])] {
        var result: [(port: String, feeds: [Feed])] = []
        for port in node.description.inputs {
            if let carry = node.carry.first(where: { $0.input == port.name }), let index = instance.index, index > 0 {
                let before = InstanceID(node: node.id, index: index - 1)
                result.append((port.name, feeds(of: before, carry.output)))
            } else if let wire = node.wires[port.name] {
                result.append((port.name, feeds(of: wire, node, instance)))
            }
        }
        return result
    }

    private func feeds(of wire: Wire, _ node: GraphNode, _ instance: InstanceID) -> [Feed] {
        switch wire {
        case .input(let name):
            return [Feed(from: "inputs.\(name)", artifact: inputs[name], path: inputs[name]?.path)]
        case .list(let wires):
            return wires.flatMap { feeds(of: $0, node, instance) }
        case .eachItem:
            return itemFeeds(node, instance)
        case .port(let source, let port, true):
            guard let frames = frames(of: instance) else {
                return [Feed(from: "\(source).\(port)[each.range]", artifact: nil, awaits: node.each?.node ?? source)]
            }
            let slice = Slice(node: source, port: port, frames: frames)
            let artifact = slices[slice]
            return [
                Feed(
                    from: slice.text, artifact: artifact, awaits: artifact == nil ? source : nil, source: .slice(slice),
                    path: pins[Demand.Port(node: source, port: port)]?.path)
            ]
        case .port(let source, let port, false):
            guard graph.node(source)?.each != nil else {
                return feeds(of: InstanceID(node: source), port)
            }
            guard let count = counts[source] else {
                return [Feed(from: "\(source).\(port)", artifact: nil, awaits: source)]
            }
            return (0..<count).flatMap { feeds(of: InstanceID(node: source, index: $0), port) }
        }
    }

    /// What an instance made at a port: one value, or the elements of a list.
    private func feeds(of maker: InstanceID, _ port: String) -> [Feed] {
        if let pin = pins[Demand.Port(node: maker.node, index: maker.index, port: port)] {
            return [Feed(from: "\(maker).\(port)", artifact: pin, path: pin.path)]
        }
        guard let made = results[maker], let declared = graph.node(maker.node)?.description.output(port) else {
            return [Feed(from: "\(maker).\(port)", artifact: nil, awaits: "\(maker)", source: .instance(maker))]
        }
        return made.values(of: declared).map { Feed(from: "\(maker).\($0.name)", artifact: $0.value, source: .instance(maker)) }
    }

    private func itemFeeds(_ node: GraphNode, _ instance: InstanceID) -> [Feed] {
        guard let each = node.each, let index = instance.index else {
            return [Feed(from: "each.item", artifact: nil, awaits: node.each?.node ?? node.id)]
        }
        switch each.over {
        case .segments:
            let artifact = items[instance]
            let from = "\(each.node).\(each.port)[\(index)]"
            return [Feed(from: from, artifact: artifact, awaits: artifact == nil ? each.node : nil, source: .item(instance))]
        case .list:
            if graph.node(each.node)?.each != nil { return feeds(of: InstanceID(node: each.node, index: index), each.port) }
            let maker = InstanceID(node: each.node)
            let name = "\(each.port)[\(index)]"
            let artifact = results[maker]?[name]
            return [Feed(from: "\(maker).\(name)", artifact: artifact, awaits: artifact == nil ? each.node : nil, source: .instance(maker))]
        }
    }

    /// The cuts that an instance takes.
    func slices(of node: GraphNode, _ instance: InstanceID) -> [Slice] {
        guard let frames = frames(of: instance) else { return [] }
        func all(_ wire: Wire) -> [Slice] {
            switch wire {
            case .port(let source, let port, true): [Slice(node: source, port: port, frames: frames)]
            case .list(let wires): wires.flatMap(all)
            default: []
            }
        }
        return node.orderedWires.flatMap { all($0.wire) }
    }

    /// Whether a node takes its own segment as a value.
    static func usesItem(_ node: GraphNode) -> Bool {
        func uses(_ wire: Wire) -> Bool {
            switch wire {
            case .eachItem: true
            case .list(let wires): wires.contains(where: uses)
            default: false
            }
        }
        return node.wires.values.contains(where: uses)
    }

    // MARK: - Keys

    /// Everything that an instance's outputs depend on.
    func fingerprint(of node: GraphNode, _ feeds: [(port: String, feeds: [Feed])]) -> Fingerprint {
        Fingerprint(
            type: node.type.name, version: node.version, code: catalogue[node.type]?.codeDigest,
            parameters: node.canonicalTexts, policy: options.numericPolicy,
            source: options.sourceDigests[node.type],
            inputs: Dictionary(
                uniqueKeysWithValues: feeds.map { port, feeds in
                    (port, feeds.map { feed in
                        Fingerprint.Input(
                            from: feed.from, digest: feed.artifact?.digest, path: feed.path, bytes: feed.path.flatMap { sizes[$0] })
                    })
                }))
    }

    /// The action key of an instance; nil while an input is not known.
    func key(of node: GraphNode, _ feeds: [(port: String, feeds: [Feed])]) -> Digest? {
        var digests: [String: [Digest]] = [:]
        for (port, feeds) in feeds {
            var list: [Digest] = []
            for feed in feeds {
                guard let artifact = feed.artifact else { return nil }
                list.append(artifact.digest)
            }
            digests[port] = list
        }
        return ActionKey(
            node.description, codeDigest: catalogue[node.type]?.codeDigest, parameters: node.canonicalParameters,
            inputs: digests, numericPolicy: options.numericPolicy
        ).digest
    }
}
