import Engine
import Foundation
import GraphKit
import Locking
import NodeKit

/// `run --watch`: runs, waits for a save, and runs again; a save while it runs stops what the edit made pointless.
final class WatchLoop {
    private let command: Run
    private let printer: any RunPrinter
    private let watcher: FileWatcher
    /// One for all runs, so that what one has just made is there for the next.
    private var store: CacheStore
    /// The file of its index when it was opened; nil: it is to be opened again.
    private var index: FileIdentity?
    /// What a run's end and Ctrl-C write to, so that the loop wakes up.
    private let wakes: (read: Int32, write: Int32)
    private var known: Set<String> = []
    /// How long nothing may be saved before it counts: editors and encoders write in several goes.
    private static let quietMilliseconds: Int32 = 200

    private struct Prepared {
        let engine: UnderstudyEngine
        let graph: Graph
        let options: RunOptions
    }

    private final class Background: Sendable {
        let cancellation = Cancellation()
        let result = Locked<Result<RunSummary, any Error>?>(nil)
        var isOver: Bool { result.withLock { $0 != nil } }
    }

    /// Whether Ctrl-C came.
    private final class Interruption: Sendable {
        private let state = Locked(false)
        var isRequested: Bool { state.withLock { $0 } }
        func request() { state.withLock { $0 = true } }
    }

    init(_ command: Run) throws {
        self.command = command
        printer = command.printer
        store = try command.store.make()
        index = FileIdentity(path: Self.index(of: store))
        watcher = try FileWatcher()
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Failure(status: 1, message: "error: cannot make a pipe") }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        wakes = (ends[0], ends[1])
    }

    deinit {
        close(wakes.read)
        close(wakes.write)
    }

    /// Ends only by a signal.
    func run() throws {
        let interruption = Interruption()
        let wake = wakes.write
        let signals = try StopSignals {
            interruption.request()
            var byte: UInt8 = 0
            write(wake, &byte, 1)
        }
        defer {
            signals.cancel()
            printer.end()
        }
        var next = try prepare()
        while !interruption.isRequested {
            if let prepared = next {
                next = nil
                let background = start(prepared)
                while !background.isOver {
                    let isSaved = watcher.wait(or: wakes.read, milliseconds: -1)
                    drainWakes()
                    if interruption.isRequested {
                        background.cancellation.cancel()
                    } else if isSaved, let edited = try afterSave() {
                        // Work whose result the edited graph takes as well goes on; the rest stops.
                        guard let plan = try plan(edited) else { continue }
                        background.cancellation.cancel(sparing: Set(plan.entries.compactMap(\.key)))
                        next = edited
                    }
                }
                try report(background.result.withLock { $0 }, isRestarted: next != nil)
            }
            guard next == nil, !interruption.isRequested else { continue }
            if !command.quiet { printer.say("watching \(known.count) files and folders; Ctrl-C ends") }
            while next == nil, !interruption.isRequested {
                let isSaved = watcher.wait(or: wakes.read, milliseconds: -1)
                drainWakes()
                if isSaved { next = try afterSave() }
            }
        }
        throw Failure(status: 130, message: "")
    }

    private func start(_ prepared: Prepared) -> Background {
        let background = Background()
        let (printer, wake) = (printer, wakes.write)
        Thread.detachNewThread {
            let result = Result {
                try prepared.engine.run(prepared.graph, options: prepared.options, cancellation: background.cancellation) { printer.handle($0) }
            }
            background.result.withLock { $0 = result }
            var byte: UInt8 = 0
            write(wake, &byte, 1)
        }
        return background
    }

    /// Nil, with what is wrong printed, when it cannot run after all.
    private func plan(_ prepared: Prepared) throws -> Engine.Plan? {
        do {
            return try prepared.engine.plan(prepared.graph, options: prepared.options)
        } catch let error as UsageError {
            printer.say("error: \(error)")
        } catch let error as StoreError {
            lose(error)
        }
        return nil
    }

    private func report(_ result: Result<RunSummary, any Error>?, isRestarted: Bool) throws {
        switch result {
        case .failure(let error as UsageError): printer.say("error: \(error)")
        case .failure(let error as StoreError): lose(error)
        case .failure(let error): throw error
        case .success(let summary) where summary.status == .cancelled && isRestarted && !command.quiet:
            printer.say("edited: what the edit made pointless was stopped; what is finished is kept")
        default: break
        }
    }

    /// Says that the store could not be used; the next run opens it again.
    private func lose(_ error: StoreError) {
        printer.say("error: \(error)")
        index = nil
    }

    /// Opens the store again when it could not be used, or is no longer the one in its folder: somebody removed or replaced that.
    private func renewStore() throws {
        guard index == nil || FileIdentity(path: Self.index(of: store)) != index else { return }
        if !FileManager.default.fileExists(atPath: store.root) { printer.say("the cache '\(store.root)' was removed; it is made again") }
        store = try command.store.make()
        index = FileIdentity(path: Self.index(of: store))
    }

    private static func index(of store: CacheStore) -> String { "\(store.root)/index.sqlite" }

    /// What to run after a save; nil when none of the watched files changed, or the graph is wrong now.
    private func afterSave() throws -> Prepared? {
        while watcher.wait(or: -1, milliseconds: Self.quietMilliseconds) { _ = drainEvents() }
        guard !drainEvents().isEmpty else { return nil }
        return try prepare()
    }

    private var pending: Set<String> = []

    /// What changed so far, kept until it is asked for.
    private func drainEvents() -> Set<String> {
        pending.formUnion(watcher.changes())
        return pending
    }

    /// Loads the graph anew and watches all it is made of; nil, with what is wrong printed, when it cannot run.
    private func prepare() throws -> Prepared? {
        pending = []
        var prepared: Prepared?
        known.formUnion([command.graph.graph] + command.graph.overlay)
        try watcher.watch(known)
        do {
            try renewStore()
            let external = try command.nodes.externalNodes(command.store)
            let catalogue = try command.nodes.catalogue(command.store)
            let graph = try command.graph.load(catalogue: catalogue, say: printer.say)
            let engine = UnderstudyEngine(store: store, catalogue: catalogue)
            let options = try command.options(for: graph, catalogue)
            prepared = Prepared(engine: engine, graph: graph, options: options)
            let types = Set(graph.nodes.map(\.type))
            known = Set([command.graph.graph] + command.graph.overlay + graph.files.filter { $0.origin == .file }.map(Self.path))
            known.formUnion(graph.inputs.compactMap(\.path) + graph.pins.map(\.path))
            for manifest in external.map(\.manifest) where types.contains(manifest.description.type) {
                known.formUnion([manifest.folder] + manifest.sources.map { "\(manifest.folder)/\($0)" })
            }
        } catch let failure as Failure {
            printer.say(failure.message)
        } catch let error as StoreError {
            lose(error)
        }
        try watcher.watch(known)
        return prepared
    }

    private static func path(of file: SourceFile) -> String {
        file.directory.appendingPathComponent((file.name as NSString).lastPathComponent).path
    }

    private func drainWakes() {
        var buffer = [UInt8](repeating: 0, count: 64)
        while read(wakes.read, &buffer, buffer.count) > 0 {}
    }
}
