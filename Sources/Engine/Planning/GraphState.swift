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
        /// The segment of an instance, as a value of its own.
        case item(InstanceID)
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
        /// For graph inputs and pins: the file.
        var path: String?
    }

    let graph: Graph
    let catalogue: [NodeType: NodeDefinition]
    let options: RunOptions
    /// What this run wants, in topological order.
    let wanted: [GraphNode]
    let demand: Demand
    /// Files in place of what nodes make.
    private(set) var pins: [Demand.Port: Artifact] = [:]

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
        let demand = try Demand(of: graph, options)
        self.demand = demand
        wanted = graph.nodes.filter { demand.wanted[$0.id] != nil }
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
        for pin in graph.pins { try open(pin, reader) }
        for name in used.sorted() {
            guard let input = graph.input(name), let path = input.path else {
                throw UsageError("input '\(name)' has no file: give it one with --input \(name)=PATH")
            }
            do {
                inputStates[name] = try Self.states(of: path, input.type)
                let digest = try reader.digest(ofInput: path, type: input.type)
                inputs[name] = Artifact(type: input.type, path: path, digest: digest)
            } catch {
                throw UsageError("input '\(name)': \(error)")
            }
        }
    }

    /// What files of the user stand in for, in order.
    var pinnedValues: [Plan.Pin] {
        pins.map { place, artifact in
            let file = FileVersion(path: artifact.path, digest: artifact.digest, bytes: bytes(of: artifact.path))
            return Plan.Pin(instance: InstanceID(node: place.node, index: place.index), port: place.port, file: file)
        }.sorted { ($0.instance, $0.port) < ($1.instance, $1.port) }
    }

    /// Takes a user's file in place of what a port gives.
    private func open(_ pin: GraphPin, _ reader: StoreReader) throws {
        let name = "\(InstanceID(node: pin.node, index: pin.index)).\(pin.port)"
        do {
            let states = try Self.states(of: pin.path, pin.type)
            let isTensorFile = pin.type != .file && pin.type != .model
            let digest = try isTensorFile ? reader.digest(ofArtifact: pin.path) : reader.digest(ofInput: pin.path, type: pin.type)
            let artifact = Artifact(type: pin.type, path: pin.path, digest: digest)
            if isTensorFile { _ = try ValueCatalog.open(artifact) }
            pins[Demand.Port(node: pin.node, index: pin.index, port: pin.port)] = artifact
            inputStates["\(pin.node).\(pin.port)", default: [:]].merge(states) { $1 }
        } catch {
            let remedy = pin.type == .file || pin.type == .model ? "" : "; 'understudy inspect GRAPH \(name) --export FILE.safetensors' writes one that does"
            throw UsageError("'\(pin.writtenPath)' cannot stand in for \(name), a '\(pin.type)': \(error)\(remedy)")
        }
    }

    private static func states(of path: String, _ type: PortType) throws -> [String: FileState] {
        var states: [String: FileState] = [:]
        for file in type == .model ? try ModelFolder.files(at: path) : [path] { states[file] = FileState(path: file) }
        return states
    }

    // MARK: - each

    /// Learns how many instances a node has; true when it is known.
    ///
    /// - Throws: When the list cannot be read.
    func expand(_ node: GraphNode) throws -> Bool {
        guard let each = node.each else { return true }
        if counts[node.id] != nil { return true }
        switch each.over {
        case .segments:
            guard let artifact = values(of: InstanceID(node: each.node), each.port)?.first?.value else { return false }
            let segments = try Segments(artifact: artifact)
            ranges[node.id] = segments.ranges
            validFrames[node.id] = segments.frameCount
            counts[node.id] = segments.ranges.count
        case .list:
            if graph.node(each.node)?.each != nil {
                guard let count = counts[each.node] else { return false }
                counts[node.id] = count
            } else {
                guard let made = values(of: InstanceID(node: each.node), each.port) else { return false }
                counts[node.id] = made.count
            }
        }
        let ranges = ranges[node.id] ?? []
        if let absence = demand.named[node.id]?.absence(in: node.id, count: counts[node.id] ?? 0, ranges: ranges) {
            throw UsageError(absence)
        }
        return true
    }

    /// The instances of an expanded node that are wanted.
    func instances(of node: GraphNode) -> [InstanceID] {
        guard let wanted = demand.wanted[node.id] else { return [] }
        guard node.each != nil else { return [InstanceID(node: node.id)] }
        let all = (0..<(counts[node.id] ?? 0)).map { InstanceID(node: node.id, index: $0) }
        guard !node.carry.isEmpty else {
            return all.filter { wanted.contains($0.index, span(of: $0)) && (isForced($0) || !demand.isReplaced($0)) }
        }
        // What is handed on is taken by the next one, unless a file stands in for it.
        var result: [InstanceID] = []
        var isTaken = false
        for instance in all.reversed() {
            let isWanted = (wanted.contains(instance.index, span(of: instance)) && !demand.isReplaced(instance)) || isForced(instance)
            guard isWanted || isTaken else { continue }
            result.append(instance)
            let before = InstanceID(node: node.id, index: (instance.index ?? 0) - 1)
            isTaken = node.carry.contains { !demand.isPinned(before, $0.output) }
        }
        return result.reversed()
    }

    /// Whether an instance runs even if it is cached.
    func isForced(_ instance: InstanceID) -> Bool {
        guard let forced = demand.forced[instance.node] else { return false }
        if forced.contains(instance.index, span(of: instance)) { return true }
        guard let index = instance.index, demand.spreadsOn.contains(instance.node) else { return false }
        return (0..<index).contains { forced.contains($0, span(of: InstanceID(node: instance.node, index: $0))) }
    }

    /// Whether an instance's outputs must be there in the end.
    func isTarget(_ instance: InstanceID) -> Bool {
        demand.targets[instance.node]?.contains(instance.index, span(of: instance)) ?? false
    }

    /// What an instance gives at a port, by name: what it made, or the file in its place; nil while that is not known.
    func values(of instance: InstanceID, _ port: String) -> [(name: String, value: Artifact)]? {
        if let pin = pins[Demand.Port(node: instance.node, index: instance.index, port: port)] { return [(port, pin)] }
        guard let made = results[instance], let declared = graph.node(instance.node)?.description.output(port) else { return nil }
        return made.values(of: declared)
    }

    /// The frames of an instance; nil without `each` over segments.
    func frames(of instance: InstanceID) -> Range<Int>? {
        guard let index = instance.index, let all = ranges[instance.node], index < all.count else { return nil }
        return all[index]
    }

    /// The frames that an instance is about: its own, or those of the instance that makes its element.
    private func span(of instance: InstanceID) -> Range<Int>? {
        if let frames = frames(of: instance) { return frames }
        guard let each = graph.node(instance.node)?.each, graph.node(each.node)?.each != nil else { return nil }
        return span(of: InstanceID(node: each.node, index: instance.index))
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
            if let pin = pins[Demand.Port(node: source, port: port)] {
                return [Feed(from: slice.text, artifact: artifact, awaits: artifact == nil ? source : nil, source: .slice(slice), path: pin.path)]
            }
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
        if let pin = pins[Demand.Port(node: maker.node, index: maker.index, port: port)] {
            return [Feed(from: "\(maker).\(port)", artifact: pin, path: pin.path)]
        }
        guard let made = values(of: maker, port) else {
            return [Feed(from: "\(maker).\(port)", artifact: nil, awaits: "\(maker)", source: .instance(maker))]
        }
        return made.map { Feed(from: "\(maker).\($0.name)", artifact: $0.value, source: .instance(maker)) }
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
            parameters: node.parameters.mapValues(\.canonical), policy: options.numericPolicy,
            source: options.sourceDigests[node.type],
            inputs: Dictionary(
                uniqueKeysWithValues: feeds.map { port, feeds in
                    (port, feeds.map { Fingerprint.Input(from: $0.from, digest: $0.artifact?.digest, path: $0.path, bytes: $0.path.flatMap(bytes)) })
                }))
    }

    /// The size of a user's file; nil for a model, which may be a folder.
    private func bytes(of path: String) -> Int64? {
        inputStates.values.lazy.compactMap { $0[path]?.size }.first
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
