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

    private(set) var inputs: [String: Artifact] = [:]
    /// Files in place of what nodes make.
    private(set) var pins: [Demand.Port: Artifact] = [:]
    /// All files of the user, by the wire that they are at: `inputs.NAME`, or the port that one is pinned to.
    private(set) var files: [String: [UserFile]] = [:]
    /// Their sizes, by path.
    private(set) var sizes: [String: Int64] = [:]
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
                inputs[name] = try open(path, input.type, isArtifact: false, at: "inputs.\(name)", reader)
            } catch {
                throw UsageError("input '\(name)': \(error)")
            }
        }
    }

    /// Takes a user's file in place of what a port gives.
    private func open(_ pin: GraphPin, _ reader: StoreReader) throws {
        let name = "\(InstanceID(node: pin.node, index: pin.index)).\(pin.port)"
        let isTensorFile = !pin.type.isUsedByPath
        do {
            let artifact = try open(pin.path, pin.type, isArtifact: isTensorFile, at: "\(pin.node).\(pin.port)", reader)
            if isTensorFile {
                _ = try ValueCatalog.open(artifact)
                try FiniteCheck.check(path: pin.path, type: pin.type, what: "its value")
            }
            pins[Demand.Port(node: pin.node, index: pin.index, port: pin.port)] = artifact
        } catch {
            let remedy = isTensorFile
                ? "; 'understudy inspect GRAPH \(name) --export FILE.safetensors' writes one that can" : ""
            throw UsageError("'\(pin.writtenPath)' cannot stand in for \(name), a '\(pin.type)': \(error)\(remedy)")
        }
    }

    /// Digests a file, and remembers what state it was in before.
    private func open(_ path: String, _ type: PortType, isArtifact: Bool, at wire: String, _ reader: StoreReader) throws -> Artifact {
        var states: [String: FileState] = [:]
        for file in try type.files(at: path) {
            states[file] = FileState(source: file)
            sizes[file] = states[file]?.size
        }
        let digest = try reader.digest(ofUserFile: path, type, isArtifact: isArtifact)
        let artifact = Artifact(type: type, path: path, digest: digest)
        files[wire, default: []].append(UserFile(artifact: artifact, states: states, isArtifact: isArtifact))
        return artifact
    }

    /// What files of the user stand in for, in order.
    var pinnedValues: [Plan.Pin] {
        pins.map { place, artifact in
            let file = FileVersion(path: artifact.path, digest: artifact.digest, bytes: sizes[artifact.path])
            let isThere = place.index.map { $0 < counts[place.node] ?? .max } ?? true
            return Plan.Pin(instance: InstanceID(node: place.node, index: place.index), port: place.port, file: file, isThere: isThere)
        }.sorted { ($0.instance, $0.port) < ($1.instance, $1.port) }
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
            guard let artifact = values(of: InstanceID(node: each.node), each.port)?.first?.value else { return false }
            let segments = try Segments(artifact: reader.opened(artifact))
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
            let isWanted = (wanted.contains(instance.index, span(of: instance)) && !demand.isReplaced(instance))
                || (isForced(instance) && demand.allowsForcing(instance, span(of: instance)))
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

    /// Whether what an instance gives at a port is known and has left the store.
    func isAbsent(_ instance: InstanceID, _ port: String) -> Bool {
        absent.contains(.instance(instance)) && !demand.isPinned(instance, port)
    }

    /// Whether a cut is made out of a file of the user.
    func isPinned(_ slice: Slice) -> Bool { demand.isPinned(InstanceID(node: slice.node), slice.port) }

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
}

/// A file that the user gave, as it was when it was digested.
struct UserFile: Sendable {
    let artifact: Artifact
    /// By path; a model may be several files.
    let states: [String: FileState]
    /// Whether its digest is an artifact's, which leaves out how the file is laid out.
    let isArtifact: Bool
}
