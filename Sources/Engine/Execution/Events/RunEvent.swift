import NodeKit

/// What happens during a run, in order. One at a time, from any thread.
public enum RunEvent: Sendable, Codable {
    case runStarted(run: Int64, graph: String)
    /// How many instances the run has, as far as it is known: it grows when an `each` becomes known.
    case total(instances: Int)
    case started(InstanceID, type: String, threads: Int, reasons: [RunReason])
    case progress(InstanceID, done: Int, total: Int?, unit: String)
    case log(InstanceID, line: String)
    /// Another process makes it at the moment.
    case waiting(InstanceID)
    /// `seconds`, `memory`: what it took now, or when it was made. `bytes`: of all outputs.
    case finished(InstanceID, type: String, cached: Bool, seconds: Double, memory: PeakMemory?, bytes: Int64)
    case failed(InstanceFailure)
    /// It did not run because another one failed (`because`) or the run was stopped.
    case skipped(InstanceID, because: InstanceID?)
    /// What is left by past timings, now and then; `unknown`: how many instances never ran and are not in it.
    case timeLeft(seconds: Double, unknown: Int)
    case warning(String)
    /// The cache was larger than its settings allow after the run.
    case collected(CollectionReport)
    case runFinished(RunSummary)
}

/// A node could not do its work.
public struct InstanceFailure: Error, Sendable, Hashable, Codable, CustomStringConvertible {
    /// A value that it was given.
    public struct Input: Sendable, Hashable, Codable {
        public let port: String
        /// The wire: `frames.video`.
        public let from: String
        public let type: String
        public let digest: Digest
        /// What it holds: `frames u8 [106, 128, 192, 3]`.
        public let content: String
        public let path: String
    }

    public let instance: InstanceID
    public let type: String
    public let message: String
    public let inputs: [Input]
    /// In canonical form.
    public let parameters: [String: String]
    /// Where its log is; nil when it wrote none.
    public let log: String?

    public var description: String {
        var text = "\(instance) (\(type)): \(message)"
        for input in inputs {
            text += "\n  input \(input.port): \(input.from), \(input.type) \(input.digest.short)"
            if !input.content.isEmpty { text += ", \(input.content)" }
        }
        if !parameters.isEmpty {
            text += "\n  with " + parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        }
        if let log { text += "\n  log: \(log)" }
        return text
    }
}

/// What a run came to.
public struct RunSummary: Sendable, Codable {
    public let run: Int64
    public let graph: String
    public let status: RunStatus
    /// Instances that ran, in order of their end.
    public let ran: [InstanceID]
    public let cached: [InstanceID]
    public let failures: [InstanceFailure]
    public let skipped: [InstanceID]
    /// Instances that were running when the run was stopped.
    public let stopped: [InstanceID]
    /// Exported files by graph output; several for a list.
    public let outputs: [String: [String]]
    /// From start to end.
    public let seconds: Double
    /// Processor time is another matter: the sum of what the nodes that ran took.
    public let nodeSeconds: Double
}
