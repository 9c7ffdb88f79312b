import Foundation
import Synchronization

/// What a running node may ask of the engine: randomness, progress, cancellation, threads, scratch space, checkpoints.
public final class NodeContext: Sendable {
    /// How many threads the node may use at once.
    public let threads: Int
    private let scratchFolder: String
    private let isScratchMade = Atomic(false)
    private let report: @Sendable (Progress) -> Void
    private let isCancelledCheck: @Sendable () -> Bool
    /// Where a long node saves its state, so that a killed run goes on from there. Nil: nothing is kept.
    public let checkpoints: CheckpointStore?
    private let logLine: @Sendable (String) -> Void

    /// How far a node is: `done` of `total` units.
    public struct Progress: Sendable, Hashable {
        public let done: Int
        public let total: Int?
        /// What is counted: `frames`, `steps`.
        public let unit: String
    }

    public init(
        threads: Int = 1, scratch: String, checkpoints: CheckpointStore? = nil,
        progress: @escaping @Sendable (Progress) -> Void = { _ in },
        log: @escaping @Sendable (String) -> Void = { _ in },
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) {
        self.threads = threads
        scratchFolder = scratch
        self.checkpoints = checkpoints
        self.report = progress
        self.logLine = log
        self.isCancelledCheck = isCancelled
    }

    /// A folder for temporary files, emptied after the run; made when it is asked for.
    public var scratch: String {
        isScratchMade.store(true, ordering: .relaxed)
        try? FileManager.default.createDirectory(atPath: scratchFolder, withIntermediateDirectories: true)
        return scratchFolder
    }

    /// Whether somebody asked for the folder for temporary files.
    package var hasScratch: Bool { isScratchMade.load(ordering: .relaxed) }

    public var isCancelled: Bool { isCancelledCheck() }

    /// Call it between pieces of work.
    ///
    /// - Throws: ``CancellationError`` when the run was cancelled.
    public func checkCancelled() throws {
        if isCancelledCheck() { throw CancellationError() }
    }

    /// Reports progress; cheap enough to call per frame.
    public func progress(_ done: Int, of total: Int?, _ unit: String = "frames") {
        report(Progress(done: done, total: total, unit: unit))
    }

    /// Writes a line to the node's log.
    public func log(_ line: String) { logLine(line) }
}

/// Keeps one blob of state per action, replaced atomically.
public protocol CheckpointStore: Sendable {
    /// The bytes saved last for this action, if any survived.
    func load() -> [UInt8]?
    /// Replaces the saved bytes.
    func save(_ bytes: [UInt8]) throws
}
