import GraphKit

/// What is meant of a node: all of it, one of its ports, some of its instances.
///
///     film   film.file   animate[3]   animate[1...3]   animate[@24..<48]   animate[3].latents
///
/// `@` counts frames: the instances whose frames touch these.
public struct RunTarget: Sendable, Hashable, CustomStringConvertible {
    /// Which instances of a node with `each`.
    public enum Instances: Sendable, Hashable {
        case all
        case indices(ClosedRange<Int>)
        case frames(Range<Int>)
    }

    public let node: String
    public let instances: Instances
    public let port: String?

    public init(node: String, instances: Instances = .all, port: String? = nil) {
        self.node = node
        self.instances = instances
        self.port = port
    }

    public init(node: String, index: Int?, port: String? = nil) {
        self.init(node: node, instances: index.map { .indices($0...$0) } ?? .all, port: port)
    }

    /// Reads a target and checks it against a graph.
    ///
    /// - Throws: ``UsageError`` when it cannot be read, or the graph has no such node, instances or port.
    public init(_ text: String, in graph: Graph) throws {
        var rest = text[...]
        let name = String(rest.prefix { $0 != "." && $0 != "[" })
        rest = rest.dropFirst(name.count)
        var instances = Instances.all
        if rest.first == "[" {
            let inside = rest.dropFirst().prefix { $0 != "]" }
            guard let read = Self.instances(inside), rest.dropFirst(inside.count + 1).first == "]" else {
                throw UsageError(
                    "'\(text)': instances are written as NODE[3] or NODE[1...3], or NODE[@24..<48] for those that touch frames")
            }
            instances = read
            rest = rest.dropFirst(inside.count + 2)
        }
        guard rest.isEmpty || (rest.first == "." && rest.count > 1), !name.isEmpty else {
            throw UsageError("'\(text)' names no node, port or instance; write NODE, NODE.PORT or NODE[3]")
        }
        guard let node = graph.node(name) else {
            let names = graph.nodes.map(\.id)
            let near = EditDistance.nearest(to: name, among: names)
            throw UsageError(
                "graph '\(graph.name)' has no node '\(name)'"
                    + (near.map { "; did you mean '\($0 + text.dropFirst(name.count))'?" } ?? "; it has \(names.joined(separator: ", "))"))
        }
        if instances != .all {
            guard let each = node.each else { throw UsageError("'\(text)': node '\(name)' has no instances: it has no 'each'") }
            if case .frames = instances, each.over != .segments {
                throw UsageError("'\(text)': node '\(name)' is repeated over a list, which has no frames; write '\(name)[0]'")
            }
        }
        let port = rest.isEmpty ? nil : String(rest.dropFirst())
        if let port, node.description.output(port) == nil {
            let ports = node.description.outputs.map(\.name)
            let near = EditDistance.nearest(to: port, among: ports)
            throw UsageError(
                "node '\(name)' (\(node.type)) has no output '\(port)'"
                    + (near.map { "; did you mean '\(text.dropLast(port.count))\($0)'?" } ?? "; it has \(ports.joined(separator: ", "))"))
        }
        self.init(node: name, instances: instances, port: port)
    }

    /// `3`, `1...3`, `1..<4`, `@30`, `@24...47`, `@24..<48`.
    private static func instances(_ text: Substring) -> Instances? {
        let isFrames = text.first == "@"
        let text = isFrames ? text.dropFirst() : text
        let isHalfOpen = text.contains("..<")
        let parts = (isHalfOpen ? text.split(separator: "..<", omittingEmptySubsequences: false)
            : text.split(separator: "...", omittingEmptySubsequences: false)).map { Int($0) }
        guard let first = parts[0], first >= 0, parts.count <= 2, let last = parts.last ?? nil, last < 1 << 40 else { return nil }
        let end = isHalfOpen ? last : last + 1
        guard first < end else { return nil }
        return isFrames ? .frames(first..<end) : .indices(first...(end - 1))
    }

    public var description: String {
        let place =
            switch instances {
            case .all: ""
            case .indices(let range): range.count == 1 ? "[\(range.lowerBound)]" : "[\(range.lowerBound)...\(range.upperBound)]"
            case .frames(let range): "[@\(range.lowerBound)..<\(range.upperBound)]"
            }
        return node + place + (port.map { ".\($0)" } ?? "")
    }
}

/// Some instances of a node.
struct InstanceSet {
    private(set) var isAll = false
    private var indices: [ClosedRange<Int>] = []
    private var frames: [Range<Int>] = []

    static let all = InstanceSet([.all])

    init(_ parts: [RunTarget.Instances] = []) { parts.forEach { insert($0) } }

    mutating func insert(_ part: RunTarget.Instances) {
        switch part {
        case .all: isAll = true
        case .indices(let range): indices.append(range)
        case .frames(let range): frames.append(range)
        }
    }

    mutating func formUnion(_ other: InstanceSet) {
        isAll = isAll || other.isAll
        // What all of them hold need not be listed.
        indices = isAll ? [] : indices + other.indices
        frames = isAll ? [] : frames + other.frames
    }

    /// Whether an instance belongs to it.
    ///
    /// - Parameter range: The instance's frames, if it has any.
    func contains(_ index: Int?, _ range: Range<Int>?) -> Bool {
        guard !isAll, let index else { return true }
        return indices.contains { $0.contains(index) } || frames.contains { range?.overlaps($0) ?? false }
    }

    /// What names no instance of a node, said for people; nil when all is there.
    func absence(in node: String, count: Int, ranges: [Range<Int>]) -> String? {
        let instances = count == 1 ? "one instance, \(node)[0]" : "\(count) instances, \(node)[0] to \(node)[\(count - 1)]"
        if let range = indices.first(where: { $0.upperBound >= count }) {
            return "there is no \(node)[\(range.upperBound)]: the node has \(count == 0 ? "no instances" : instances)"
        }
        if let range = frames.first(where: { range in !ranges.contains { $0.overlaps(range) } }) {
            return "no instance of '\(node)' has frames \(range.lowerBound)..<\(range.upperBound): the clip ends at \(ranges.last?.upperBound ?? 0)"
        }
        return nil
    }
}
