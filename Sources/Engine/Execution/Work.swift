import NodeKit

/// What is known of a task once its inputs are.
struct Work: Sendable {
    let key: Digest
    /// Nil for cuts.
    let fingerprint: Fingerprint?
    var reasons: [RunReason] = []
    var isForced = false
    /// What its key stood for before a file of it left the store.
    var gone: ActionRecord?
    /// Whether it was told that another process computes it.
    var isAnnounced = false
    var inputs: [String: [Artifact]] = [:]
    var feeds: [(port: String, feeds: [GraphState.Feed])] = []
    var definition: NodeDefinition?
    /// Writes a cut to a path; nil for instances.
    var cut: (@Sendable (String) throws -> (PortType, Digest))?

    init(key: Digest, fingerprint: Fingerprint?) {
        self.key = key
        self.fingerprint = fingerprint
    }
}
