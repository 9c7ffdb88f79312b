import NodeKit

/// Why an instance runs.
public enum RunReason: Sendable, Hashable, Codable {
    /// No earlier run of this graph has it.
    case neverRan
    case parameterChanged(name: String, old: String?, new: String?)
    /// The content at a port changed; `from` is the wire, for instance `frames.video`.
    case inputChanged(port: String, from: String, old: Digest, new: Digest)
    /// A file that the user gave changed, or another one was given.
    case fileChanged(port: String, old: FileVersion, new: FileVersion)
    /// A file of the user stands in for what the wire gives, or no longer does.
    case pinned(port: String, from: String, file: FileVersion)
    case unpinned(port: String, from: String, file: FileVersion)
    /// The port was wired elsewhere; nil: not at all.
    case rewired(port: String, old: String?, new: String?)
    case versionChanged(old: Int, new: Int)
    case typeChanged(old: String, new: String)
    /// The program of an external node changed.
    case codeChanged
    case numericPolicyChanged(old: String, new: String)
    case artifactMissing(path: String)
    case artifactDamaged(path: String)
    /// It failed or was interrupted last time.
    case notFinished
    /// It was made before, and has left the cache since.
    case evicted
    case forced
    /// Not known yet: it depends on what these make.
    case dependsOn([String])
    /// Another instance with the same type, parameters and input contents makes it.
    case sameAs(String)
}

extension RunReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .neverRan: "never ran"
        case .parameterChanged(let name, let old?, let new?): "\(name) changed: \(old) → \(new)"
        case .parameterChanged(let name, nil, let new): "\(name) is new: \(new ?? "null")"
        case .parameterChanged(let name, let old, nil): "\(name) is gone (was \(old ?? "null"))"
        case .inputChanged(let port, let from, let old, let new):
            "input \(port) changed: \(from) is another value (\(old.short) → \(new.short))"
        case .fileChanged(let port, let old, let new) where old.path == new.path:
            "input \(port) changed: the content of \(new.path) (\(old.content) → \(new.content))"
        case .fileChanged(let port, let old, let new): "input \(port) changed: \(old) → \(new)"
        case .pinned(let port, let from, let file): "input \(port) changed: \(from) is pinned to \(file)"
        case .unpinned(let port, let from, let file): "input \(port) changed: \(from) is no longer pinned to \(file)"
        case .rewired(let port, let old, let new):
            "input \(port) wired elsewhere: \(old ?? "nothing") → \(new ?? "nothing")"
        case .versionChanged(let old, let new): "node version changed: \(old) → \(new)"
        case .typeChanged(let old, let new): "node type changed: \(old) → \(new)"
        case .codeChanged: "the node's program changed"
        case .numericPolicyChanged(let old, let new): "numeric policy changed: \(old) → \(new)"
        case .artifactMissing(let path): "its artifact is missing: \(path)"
        case .artifactDamaged(let path): "its artifact is damaged: \(path)"
        case .notFinished: "did not finish last time"
        case .evicted: "its result is no longer in the cache"
        case .forced: "forced"
        case .sameAs(let other): "the same as \(other)"
        case .dependsOn(let nodes): "depends on what \(nodes.joined(separator: ", ")) makes"
        }
    }
}
