import Foundation
import GRDB
import NodeKit

/// How an instance fared in a run.
public enum InstanceStatus: String, Sendable, Hashable, Codable {
    case ran, cached, failed, cancelled, skipped
    /// It was not needed: a file of the user stood in for what it makes.
    case pinned
}

/// How a run ended.
public enum RunStatus: String, Sendable, Hashable, Codable {
    /// Still going on, in some process.
    case running
    case done, failed, cancelled
    /// Its process died.
    case killed
}

/// An instance in the journal.
public struct JournalEntry: Sendable, Hashable, Codable {
    public let instance: InstanceID
    public let status: InstanceStatus
    /// Nil when it never came so far that its inputs were known.
    public let key: Digest?
    public let fingerprint: Fingerprint
    /// By port.
    public let outputs: [String: ActionRecord.Output]
    /// What it took: this time if it ran, else when it was made. Nil if it did not finish.
    public let seconds: Double?
    /// How much memory it took then.
    public let memory: PeakMemory?
    public let error: String?
}

/// A run in the journal.
public struct JournalRun: Sendable, Hashable, Codable {
    public let id: Int64
    public let graph: String
    /// The graph file as the user named it.
    public let path: String
    public let started: Date
    public let ended: Date?
    public let status: RunStatus
    /// How many instances there were by status.
    public let counts: [InstanceStatus: Int]
}

/// An instance that differs between two runs.
public struct RunDifference: Sendable, Hashable, Codable {
    public enum Kind: String, Sendable, Codable {
        /// Only in the second, only in the first, or in both with other keys or outputs.
        case added, removed, changed
    }

    public let instance: InstanceID
    public let kind: Kind
    /// How it ended in the first and in the second; nil where it had no part.
    public let oldStatus: InstanceStatus?
    public let newStatus: InstanceStatus?
    public let reasons: [RunReason]
    /// Where the change of its inputs began.
    public let origins: [Explanation]
    /// Outputs whose content differs.
    public let outputs: [OutputDifference]
}

/// An output that differs between two runs; nil where a run did not make it.
public struct OutputDifference: Sendable, Hashable, Codable {
    public let port: String
    public let old: ActionRecord.Output?
    public let new: ActionRecord.Output?
}

/// What earlier runs did: for `runs`, `runs diff`, `inspect`, timings and reasons.
public struct Journal: Sendable {
    let store: CacheStore

    /// The journal of a store.
    public init(store: CacheStore) { self.store = store }

    /// Past runs, latest first.
    ///
    /// - Parameter graph: Only those of a graph of this name.
    public func runs(graph: String? = nil, limit: Int = 50) throws -> [JournalRun] {
        try store.snapshot { db in
            // Damaged ones do not count.
            let rows = try Row.fetchCursor(db, sql: "SELECT * FROM runs WHERE ? IS NULL OR graph = ? ORDER BY id DESC", arguments: [graph, graph])
            var result: [JournalRun] = []
            while result.count < limit, let row = try rows.next() {
                if let run = try run(row, db) { result.append(run) }
            }
            return result
        }
    }

    /// One run; nil when there is none of that number.
    public func run(_ id: Int64) throws -> JournalRun? {
        try store.snapshot { db in
            try Row.fetchOne(db, sql: "SELECT * FROM runs WHERE id = ?", arguments: [id]).flatMap { try run($0, db) }
        }
    }

    /// Nil when the row is damaged.
    private func run(_ row: Row, _ db: Database) throws -> JournalRun? {
        guard let read = Self.run(row) else { return nil }
        var counts: [InstanceStatus: Int] = [:]
        for count in try Row.fetchAll(
            db, sql: "SELECT status, COUNT(*) AS n FROM instances WHERE run = ? GROUP BY status", arguments: [read.id])
        {
            if let status = count.text("status").flatMap(InstanceStatus.init(rawValue:)), let n = count.integer("n") { counts[status] = Int(n) }
        }
        let isAlive = read.status == .running && Lease.isHeld(row.text("lease") ?? "", folder: "\(store.root)/active")
        return JournalRun(
            id: read.id, graph: read.graph, path: read.path, started: read.started, ended: read.ended,
            status: read.status == .running && !isAlive ? .killed : read.status, counts: counts)
    }

    /// A run as its row says, without counts; nil when the row is damaged.
    static func run(_ row: Row) -> JournalRun? {
        guard let id = row.integer("id", in: Sane.run), let graph = row.text("graph"), let path = row.text("path"), let lease = row.text("lease"),
            !lease.contains("/"), let started = row.number("started", in: Sane.time),
            let ended = row.optional("ended", { $0.number($1, in: Sane.time) }), let status = row.text("status").flatMap(RunStatus.init(rawValue:))
        else { return nil }
        return JournalRun(
            id: id, graph: graph, path: path, started: Date(timeIntervalSince1970: started),
            ended: ended.map(Date.init(timeIntervalSince1970:)), status: status, counts: [:])
    }

    /// All instances of a run, in name and index order.
    public func entries(of run: Int64) throws -> [JournalEntry] {
        try store.snapshot { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM instances WHERE run = ? ORDER BY node, idx", arguments: [run]
            ).compactMap(Self.entry)
        }
    }

    /// What differs between two runs: why, and which outputs.
    public func difference(from old: Int64, to new: Int64) throws -> [RunDifference] {
        // What files stood in for had no part in a run.
        func instances(of run: Int64) throws -> [InstanceID: JournalEntry] {
            Dictionary(try entries(of: run).filter { $0.status != .pinned }.map { ($0.instance, $0) }) { $1 }
        }
        let (before, after) = (try instances(of: old), try instances(of: new))
        return Set(before.keys).union(after.keys).sorted().compactMap { instance in
            guard let a = before[instance] else {
                return RunDifference(
                    instance: instance, kind: .added, oldStatus: nil, newStatus: after[instance]?.status, reasons: [], origins: [], outputs: [])
            }
            guard let b = after[instance] else {
                return RunDifference(
                    instance: instance, kind: .removed, oldStatus: a.status, newStatus: nil, reasons: [], origins: [], outputs: [])
            }
            let reasons = b.fingerprint.changes(since: a.fingerprint)
            let outputs = Set(a.outputs.keys).union(b.outputs.keys).sorted().compactMap { port in
                let (old, new) = (a.outputs[port], b.outputs[port])
                return old?.digest == new?.digest ? nil : OutputDifference(port: port, old: old, new: new)
            }
            guard !reasons.isEmpty || !outputs.isEmpty else { return nil }
            var explainer = Explainer(
                old: before.mapValues(\.fingerprint), new: after.mapValues { Explainer.State(fingerprint: $0.fingerprint) })
            let origins = explainer.explain(instance)?.origins.filter { $0.instance != instance } ?? []
            return RunDifference(
                instance: instance, kind: .changed, oldStatus: a.status, newStatus: b.status, reasons: reasons, origins: origins, outputs: outputs)
        }
    }

    /// The outputs that an instance had last, by port, as far as they are still in the store.
    public func lastOutputs(graph: String, instance: InstanceID) throws -> [String: Artifact] {
        let outputs: [String: Artifact] = try store.snapshot { db in
            let row = try Row.fetchOne(
                db, sql: Self.latest + " AND i.status IN ('ran', 'cached')" + Self.order,
                arguments: [graph, instance.node, instance.index ?? -1])
            guard let entry = row.flatMap(Self.entry) else { return [:] }
            return entry.outputs.mapValues(store.artifact)
        }
        return try outputs.mapValues(store.filed).filter { FileManager.default.fileExists(atPath: $0.value.path) }
    }

    private static let latest = """
        SELECT i.* FROM instances i JOIN runs r ON r.id = i.run
        WHERE r.graph = ? AND i.node = ? AND i.idx = ? AND i.key IS NOT NULL
        """
    private static let order = " ORDER BY i.run DESC LIMIT 1"

    /// What a run knows of an instance from before: for the reasons why it runs again.
    struct Last {
        let status: InstanceStatus
        let key: Digest?
        let fingerprint: Fingerprint
        /// What it took: that time if it ran, else when it was made.
        let seconds: Double?
    }

    /// The last time that an instance's inputs were known; inside a transaction.
    static func last(graph: String, instance: InstanceID, _ db: Database) throws -> Last? {
        try db.quick(
            """
            SELECT i.type, i.version, i.code, i.parameters, i.policy, i.source, i.inputs, i.status, i.key, i.seconds
            FROM instances i JOIN runs r ON r.id = i.run
            WHERE r.graph = ? AND i.node = ? AND i.idx = ? AND i.key IS NOT NULL ORDER BY i.run DESC LIMIT 1
            """
        ) { row in
            row.bind(1, graph)
            row.bind(2, instance.node)
            row.bind(3, instance.index ?? -1)
            guard try row.step(), let status = row.text(7).flatMap(InstanceStatus.init(rawValue:)) else { return nil }
            let print = Fingerprint(
                type: row.text(0) ?? "", version: Int(row.integer(1)), code: row.text(2).flatMap(Digest.init(hex:)),
                parameters: row.text(3).flatMap(JSON.strings) ?? [:], policy: row.text(4) ?? "",
                source: row.text(5).flatMap(Digest.init(hex:)), inputs: row.text(6).flatMap(Fingerprint.inputs(json:)) ?? [:])
            return Last(
                status: status, key: row.text(8).flatMap(Digest.init(hex:)), fingerprint: print,
                seconds: row.isNull(9) || !Sane.seconds.contains(row.real(9)) ? nil : row.real(9))
        }
    }

    /// How many instances a node had in the last run that knew; inside a transaction.
    static func lastCount(graph: String, node: String, _ db: Database) throws -> Int {
        try Int.fetchOne(
            db,
            sql: """
                SELECT COUNT(*) FROM instances WHERE node = ? AND idx >= 0 AND run =
                (SELECT MAX(i.run) FROM instances i JOIN runs r ON r.id = i.run WHERE r.graph = ? AND i.node = ? AND i.idx >= 0)
                """, arguments: [node, graph, node]) ?? 0
    }

    /// The last run in which an instance's inputs were known; inside a transaction.
    static func lastRun(graph: String, instance: InstanceID, _ db: Database) throws -> Int64? {
        try Row.fetchOne(db, sql: latest + order, arguments: [graph, instance.node, instance.index ?? -1])?.integer("run")
    }

    /// What all instances of a run depended on; inside a transaction.
    static func fingerprints(of run: Int64, _ db: Database) throws -> [InstanceID: Fingerprint] {
        let entries = try Row.fetchAll(db, sql: "SELECT * FROM instances WHERE run = ? AND key IS NOT NULL", arguments: [run]).compactMap(entry)
        return Dictionary(entries.map { ($0.instance, $0.fingerprint) }) { $1 }
    }

    // MARK: - Writing

    func begin(graph: String, path: String, lease: String) throws -> Int64 {
        try store.database.write { db in
            try CacheStore.mendNumbers(db)
            try db.execute(
                sql: "INSERT INTO runs (graph, path, lease, started, status) VALUES (?, ?, ?, ?, 'running')",
                arguments: [graph, path, lease, Date().timeIntervalSince1970])
            return db.lastInsertedRowID
        }
    }

    /// Writes instances, and the end of the run if it has come.
    func write(_ entries: [JournalEntry], run: Int64, end: RunStatus? = nil) throws {
        guard !entries.isEmpty || end != nil else { return }
        try store.database.write { db in
            try insert(entries, run: run, db)
            if let end {
                try db.execute(
                    sql: "UPDATE runs SET ended = ?, status = ? WHERE id = ?",
                    arguments: [Date().timeIntervalSince1970, end.rawValue, run])
            }
        }
    }

    /// Writes instances; inside a transaction.
    func insert(_ entries: [JournalEntry], run: Int64, _ db: Database) throws {
        for entry in entries {
            let print = entry.fingerprint
            try db.quick(
                """
                INSERT OR REPLACE INTO instances (run, node, idx, type, version, key, parameters, inputs, outputs,
                status, seconds, memory, policy, code, source, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
            ) {
                $0.bind(1, run)
                $0.bind(2, entry.instance.node)
                $0.bind(3, entry.instance.index ?? -1)
                $0.bind(4, print.type)
                $0.bind(5, print.version)
                $0.bind(6, entry.key?.hex)
                $0.bind(7, JSON.object(print.parameters.mapValues(JSON.quoted)))
                $0.bind(8, Fingerprint.json(print.inputs))
                $0.bind(9, ActionRecord.json(entry.outputs))
                $0.bind(10, entry.status.rawValue)
                $0.bind(11, entry.seconds)
                $0.bind(12, entry.memory?.json)
                $0.bind(13, print.policy)
                $0.bind(14, print.code?.hex)
                $0.bind(15, print.source?.hex)
                $0.bind(16, entry.error)
                _ = try $0.step()
            }
        }
    }

    /// An instance as its row says; nil when the row is damaged.
    static func entry(_ row: Row) -> JournalEntry? {
        guard let node = row.text("node"), let index = row.integer("idx", in: Sane.index), let type = row.text("type"),
            let version = row.integer("version"), let policy = row.text("policy"),
            let status = row.text("status").flatMap(InstanceStatus.init(rawValue:)), let parameters = row.text("parameters").flatMap(JSON.strings),
            let inputs = row.text("inputs").flatMap(Fingerprint.inputs(json:)), let outputs = row.text("outputs").flatMap(ActionRecord.outputs(json:)),
            let key = row.optional("key", { $0.digest($1) }), let code = row.optional("code", { $0.digest($1) }),
            let source = row.optional("source", { $0.digest($1) }), let error = row.optional("error", { $0.text($1) }),
            let seconds = row.optional("seconds", { $0.number($1, in: Sane.seconds) }),
            let memory = row.optional("memory", { $0.text($1).flatMap(PeakMemory.init(json:)) })
        else { return nil }
        let print = Fingerprint(
            type: type, version: Int(version), code: code, parameters: parameters, policy: policy, source: source, inputs: inputs)
        return JournalEntry(
            instance: InstanceID(node: node, index: index < 0 ? nil : Int(index)), status: status, key: key, fingerprint: print,
            outputs: outputs, seconds: seconds, memory: memory, error: error)
    }
}
