import Foundation
import GraphKit
import NodeKit

/// What a node may rely on while it runs, and must leave as it was.
extension Execution {
    /// A file of the user that changed while it was read must not be cached under the old digest.
    ///
    /// - Parameter files: By the wire that they are at, as ``GraphState/files``.
    func checkUnchanged(_ files: [String: [UserFile]], of node: GraphNode) throws {
        for file in node.userWires.flatMap({ files[$0] ?? [] }) {
            for (path, state) in file.states {
                var isSame = FileState(source: path) == state
                // Written to so shortly before that another write may have left no trace.
                if isSame, let age = FileState.age(ofSource: path), age < Date().timeIntervalSince(start) + FileState.tick {
                    isSame = try store.read { try $0.digest(of: file) } == file.artifact.digest
                }
                guard isSame else { throw NodeError("'\(path)' changed while it was read; run again when it is complete") }
            }
        }
    }

    /// The states of the files that an instance takes from the store.
    func artifactStates(_ inputs: [String: [Artifact]]) -> [String: FileState] {
        var states: [String: FileState] = [:]
        for artifact in inputs.values.joined() where artifact.contents == nil && artifact.path.hasPrefix("\(store.root)/") {
            states[artifact.path] = FileState(path: artifact.path)
        }
        return states
    }

    /// Artifacts are shared: a node that wrote to one fails, and the artifact is dropped, to be made again.
    ///
    /// - Parameter states: From before the node ran.
    func checkUntouched(_ states: [String: FileState], _ inputs: [String: [Artifact]]) throws {
        for (port, artifacts) in inputs.sorted(by: { $0.key < $1.key }) {
            for artifact in artifacts {
                guard let before = states[artifact.path], let now = FileState(path: artifact.path), now != before else { continue }
                let suffix = (artifact.path as NSString).pathExtension
                let found = try? Artifact.digest(ofFile: artifact.path, isTensorFile: suffix == "safetensors")
                if found == artifact.digest { continue }
                var notes = StoreReader.Notes()
                notes.damaged = [.init(digest: artifact.digest, suffix: suffix)]
                try store.write(notes)
                throw NodeError(
                    "it wrote to its input '\(port)', an artifact that others rely on ('\(artifact.path)'): inputs are only to be read. "
                        + "The artifact is dropped; the next run makes it again")
            }
        }
    }
}

extension GraphNode {
    /// The wires at which a file of the user may be what the node takes: graph inputs, and ports that may be pinned.
    fileprivate var userWires: [String] {
        func names(_ wire: Wire) -> [String] {
            switch wire {
            case .input(let name): ["inputs.\(name)"]
            case .port(let node, let port, _): ["\(node).\(port)"]
            case .list(let wires): wires.flatMap(names)
            case .eachItem: each.map { ["\($0.node).\($0.port)"] } ?? []
            }
        }
        return wires.values.flatMap(names) + carry.map { "\(id).\($0.output)" }
    }
}
