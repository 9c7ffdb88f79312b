import Foundation
import GraphKit
import NodeKit

/// What is known of a graph so far: artifacts of inputs, instances and cuts. Plan and executor share it.
///
/// It is confined to one queue at a time.
final class GraphState {
    /// A stretch of frames cut out of an output.
    struct Slice: Hashable {
        let node: String
        let port: String
        let frames: Range<Int>

        var text: String { "\(node).\(port)[\(frames.lowerBound)..<\(frames.upperBound)]" }
    }

    /// What makes a value.
    enum Source: Hashable {
        case instance(InstanceID)
        case slice(Slice)
    }

    /// One value at an input port.
    struct Feed {
        /// As in the graph, with numbers for `each`: `face.motion[0..<73]`.
        let from: String
        /// Nil: not known yet.
        let artifact: Artifact?
        /// What has to be made first.
        var awaits: String?
        /// Nil for graph inputs.
        var source: Source?
        /// For graph inputs: the file.
        var path: String?
    }

    let graph: Graph
    let catalogue: [NodeType: NodeDefinition]
    let options: RunOptions
    /// What this run wants, in topological order.
    let wanted: [GraphNode]
    /// Nodes that run even if they are cached.
    let forced: Set<String>
    /// Nodes whose outputs must be there in the end; of the others it is enough to know what they made.
    let targets: Set<String>
    /// Nodes of which only some instances are wanted.
    let onlyIndices: [String: Set<Int>]

    private(set) var inputs: [String: Artifact] = [:]
    /// States of the graph inputs' files at the time they were digested, by input.
    private(set) var inputStates: [String: [String: FileState]] = [:]
    private(set) var ranges: [String: [Range<Int>]] = [:]
    private(set) var validFrames: [String: Int] = [:]
    private(set) var counts: [String: Int] = [:]
    var results: [InstanceID: [String: Artifact]] = [:]
    var slices: [Slice: Artifact] = [:]
    /// Segments as values of their own, by node with `each` and index.
    var items: [InstanceID: Artifact] = [:]
    /// Values whose digest is known from when they were made, but which have left the store since.
    var absent: Set<Source> = []

    init(graph: Graph, catalogue: [NodeType: NodeDefinition], options: RunOptions) throws {
        self.graph = graph
        self.catalogue = catalogue
        self.options = options
        for name in options.from + options.force where graph.node(name) == nil {
            throw UsageError("graph '\(graph.name)' has no node '\(name)'; it has \(graph.nodes.map(\.id).joined(separator: ", "))")
        }
        var names = Set(options.targets.isEmpty ? graph.neededNodes.map(\.id) : options.targets.map(\.node))
        names.formUnion(options.from + options.force)
        wanted = graph.ancestors(of: names)
        targets = Set(
            options.targets.isEmpty
                ? (graph.outputs.isEmpty ? graph.nodes.map(\.id) : graph.outputs.map(\.node)) : options.targets.map(\.node))
        forced = Set(graph.descendants(of: options.from).map(\.id)).union(options.force)
        var only: [String: Set<Int>] = [:]
        let wantedNames = Set(wanted.map(\.id))
        for target in options.targets {
            guard let index = target.index, let node = graph.node(target.node),
                !options.targets.contains(where: { $0.node == target.node && $0.index == nil }),
                !graph.consumers(of: target.node).contains(where: { wantedNames.contains($0.id) })
            else { continue }
            only[target.node, default: []].formUnion(node.carry.isEmpty ? [index] : Set(0...index))
        }
        onlyIndices = only
        for node in wanted where catalogue[node.type] == nil {
            throw UsageError("node '\(node.id)': there is no node type '\(node.type)'")
        }
    }

    /// Digests the files of the graph inputs that are used.
    func openInputs(_ reader: StoreReader) throws {
        var used: Set<String> = []
        func note(_ wire: Wire) {
            switch wire {
            case .input(let name): used.insert(name)
            case .list(let wires): wires.forEach(note)
            case .port, .eachItem: break
            }
        }
        for node in wanted { node.wires.values.forEach(note) }
        for name in used.sorted() {
            guard let input = graph.input(name), let path = input.path else {
                throw UsageError("input '\(name)' has no file: give it one with --input \(name)=PATH")
            }
            do {
                let files = input.type == .model ? try ModelFolder.files(at: path) : [path]
                var states: [String: FileState] = [:]
                for file in files { states[file] = FileState(source: file) }
                let digest = try reader.digest(ofInput: path, type: input.type)
                inputs[name] = Artifact(type: input.type, path: path, digest: digest)
                inputStates[name] = states
            } catch {
                throw UsageError("input '\(name)': \(error)")
            }
        }
    }

    // MARK: - each

    /// Learns how many instances a node has; true when it is known.
    ///
    /// - Throws: When the list cannot be read.
    func expand(_ node: GraphNode, _ reader: StoreReader) throws -> Bool {
        guard let each = node.each else { return true }
        if counts[node.id] != nil { return true }
        switch each.over {
        case .segments:
            guard let artifact = results[InstanceID(node: each.node)]?[each.port] else { return false }
            let segments = try Segments(artifact: reader.opened(artifact))
            ranges[node.id] = segments.ranges
            validFrames[node.id] = segments.frameCount
            counts[node.id] = segments.ranges.count
        case .list:
            if graph.node(each.node)?.each != nil {
                guard let count = counts[each.node] else { return false }
                counts[node.id] = count
            } else {
                guard let made = results[InstanceID(node: each.node)] else { return false }
                counts[node.id] = made.elements(of: each.port).count
            }
        }
        return true
    }

    /// The instances of an expanded node that are wanted.
    func instances(of node: GraphNode) -> [InstanceID] {
        guard node.each != nil else { return [InstanceID(node: node.id)] }
        let all = 0..<(counts[node.id] ?? 0)
        return all.filter { onlyIndices[node.id]?.contains($0) ?? true }.map { InstanceID(node: node.id, index: $0) }
    }

    /// The frames of an instance; nil without `each` over segments.
    func frames(of instance: InstanceID) -> Range<Int>? {
        guard let index = instance.index, let all = ranges[instance.node], index < all.count else { return nil }
        return all[index]
    }

    /// The segment that an instance stands for, as a value: its frames, and how many of the clip's frames lie before its end.
    func segment(of instance: InstanceID) -> (frames: Range<Int>, validFrames: Int)? {
        guard let frames = frames(of: instance) else { return nil }
        // Only what concerns this segment, so that a longer clip leaves earlier segments as they were.
        return (frames, min(validFrames[instance.node] ?? frames.upperBound, frames.upperBound))
    }

    // MARK: - Inputs

    /// What each wired port of an instance gets.
    func feeds(of node: GraphNode, _ instance: InstanceID) -> [(port: String, feeds: [Feed])] {
        var result: [(port: String, feeds: [Feed])] = []
        for port in node.description.inputs {
            if let carry = node.carry.first(where: { $0.input == port.name }), let index = instance.index, index > 0 {
                let before = InstanceID(node: node.id, index: index - 1)
                let from = "\(before).\(carry.output)"
                let artifact = results[before]?[carry.output]
                let feed = Feed(from: from, artifact: artifact, awaits: artifact == nil ? "\(before)" : nil, source: .instance(before))
                result.append((port.name, [feed]))
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
            return [Feed(from: slice.text, artifact: artifact, awaits: artifact == nil ? source : nil, source: .slice(slice))]
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
            return [Feed(from: "\(each.node).\(each.port)[\(index)]", artifact: artifact, awaits: artifact == nil ? each.node : nil)]
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
            parameters: node.parameters.mapValues(\.canonical), policy: options.numericPolicy,
            source: options.sourceDigests[node.type],
            inputs: Dictionary(
                uniqueKeysWithValues: feeds.map { port, feeds in
                    (port, feeds.map { Fingerprint.Input(from: $0.from, digest: $0.artifact?.digest, path: $0.path) })
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
