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
    var inputs: [String: [Artifact]] = [:]
    var feeds: [(port: String, feeds: [GraphState.Feed])] = []
    var definition: NodeDefinition?
    /// What it made already, out of a stream; then its files only have to be taken over.
    var staged: Result<Execution.Staged, any Error>?
    /// Whether the run has the key's lock before the work starts.
    var isLocked = false
    /// Whether its frames were handed on and not stored.
    var isStreamed = false
    /// Writes a cut; nil for instances.
    var cut: (@Sendable (OutputSink, [String: [Artifact]]) throws -> Void)?

    init(key: Digest, fingerprint: Fingerprint?) {
        self.key = key
        self.fingerprint = fingerprint
    }
}
