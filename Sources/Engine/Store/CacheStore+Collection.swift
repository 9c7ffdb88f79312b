import Foundation
import GRDB
import NodeKit

/// What `gc` did.
public struct CollectionReport: Sendable, Hashable, Codable {
    public let removed: Int
    public let freedBytes: Int64
    public let keptBytes: Int64
    /// Objects that would have had to go, but are in use by a running graph or pinned.
    public let protected: Int
    /// Files that could not be removed, each with the reason; what they hold stays.
    public let failures: [String]
}

extension CacheStore {
    /// Removes objects until the rest fits: first those that take the fewest seconds per byte to make again, with whatever they are
    /// made from as far as that is gone too.
    ///
    /// What a running graph has looked at and what is pinned stays.
    ///
    /// - Parameter maxBytes: How large the objects may be together.
    public func gc(maxBytes: Int64) throws -> CollectionReport {
        // A store that is only asked may have no folder.
        guard FileManager.default.fileExists(atPath: root) else {
            return CollectionReport(removed: 0, freedBytes: 0, keptBytes: 0, protected: 0, failures: [])
        }
        // No run begins meanwhile, so that none relies on what is about to go.
        let gate = try beginningOfRuns(exclusive: true)
        defer { close(gate) }
        return try minding { try collect(maxBytes: maxBytes) }
    }

    /// Collects after a run, as the store's settings say: nothing while another graph runs.
    ///
    /// - Returns: Nil when there was nothing to do.
    func collectAutomatically() throws -> CollectionReport? {
        guard let limit = try settings().maxBytes else { return nil }
        let total = try database.read { try Double.fetchOne($0, sql: "SELECT TOTAL(bytes) FROM objects") ?? 0 }
        guard total > Double(limit), let gate = try? beginningOfRuns(exclusive: true, waits: false) else { return nil }
        defer { close(gate) }
        guard Lease.held(in: "\(root)/active").isEmpty else { return nil }
        return try collect(maxBytes: limit)
    }

    /// Keeps all that a run made, whatever its size, or no longer.
    ///
    /// - Returns: How many objects that are.
    public func setPinned(_ isPinned: Bool, run: Int64) throws -> Int {
        let digests = Set(try Journal(store: self).entries(of: run).flatMap { $0.outputs.values.map(\.digest) })
        for digest in digests { try setPinned(isPinned, digest: digest) }
        return digests.count
    }

    private func collect(maxBytes: Int64) throws -> CollectionReport {
        let objects = try list()
        var total = objects.map(\.bytes).clampedSum
        let begins = Lease.held(in: "\(root)/active").map(\.since)
        // Runs that are going on may rely on whatever was used since their beginning. If that is yet to come, the clock was set back, and
        // does not tell what they used.
        let isClockBack = begins.contains { $0 > Date().timeIntervalSince1970 + 1 }
        let horizon = isClockBack ? -.infinity : begins.min().map { $0 - StoreReader.usedInterval } ?? .infinity
        var order = CollectionOrder(objects, origins: try origins())
        var count = 0
        var freed: Int64 = 0
        var protected = 0
        var failures: [String] = []
        var isDone = false
        // In groups, so that files go, and give room, before much is written.
        while !isDone {
            var removed: [Removed] = []
            var sizes: [StoreReader.StoredName: Int64] = [:]
            try database.write { db in
                while removed.count < 64 {
                    guard total > maxBytes, let object = order.next() else {
                        isDone = true
                        return
                    }
                    let name = StoreReader.StoredName(digest: object.digest, suffix: object.suffix)
                    let row = try Row.fetchOne(
                        db.cachedStatement(sql: "SELECT * FROM objects WHERE digest = ? AND suffix = ?"),
                        arguments: [object.digest.hex, object.suffix])
                    guard let row, row.integer("pinned") == 0, row.number("used", in: Sane.time) ?? .greatestFiniteMagnitude < horizon else {
                        protected += 1
                        continue
                    }
                    try removeRow(name, db)
                    order.isGone(object.digest)
                    removed.append(Removed(name: name, row: row))
                    sizes[name] = object.bytes
                    total -= object.bytes
                }
            }
            let kept = try unlinkUnnamed(removed).kept
            for (name, reason) in kept {
                total += sizes.removeValue(forKey: name) ?? 0
                failures.append(reason)
            }
            freed += sizes.values.clampedSum
            count += sizes.count
        }
        try forgetActions(madeBefore: Date().addingTimeInterval(-180 * 86_400))
        removeOld("checkpoints", days: 14)
        removeOld("logs", days: 60)
        return CollectionReport(removed: count, freedBytes: freed, keptBytes: total, protected: protected, failures: failures)
    }

    /// What each value was made from, and how long that took, as far as the journal knows.
    private func origins() throws -> [Digest: CollectionOrder.Origin] {
        try database.read { db in
            var result: [Digest: CollectionOrder.Origin] = [:]
            let rows = try Row.fetchCursor(
                db, sql: "SELECT inputs, outputs, seconds FROM instances WHERE key IS NOT NULL AND outputs != '{}' GROUP BY key")
            while let row = try rows.next() {
                let outputs = row.text("outputs").flatMap(ActionRecord.outputs(json:)) ?? [:]
                let inputs = row.text("inputs").flatMap(Fingerprint.inputs(json:)) ?? [:]
                let origin = CollectionOrder.Origin(seconds: row.number("seconds", in: Sane.seconds) ?? 0, inputs: Set(inputs.values.joined().compactMap(\.digest)))
                for output in outputs.values { result[output.digest] = origin }
            }
            return result
        }
    }

    /// Removes what nobody touched for long: checkpoints that nobody went on from, logs.
    private func removeOld(_ name: String, days: Double) {
        let folder = "\(root)/\(name)"
        let limit = Date().addingTimeInterval(-days * 86_400)
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            let path = "\(folder)/\(name)"
            let changed = (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
            if let changed, changed < limit { try? FileManager.default.removeItem(atPath: path) }
        }
    }
}

/// Which object goes next: the one whose making again costs least per byte, counting what it is made from once that is gone.
struct CollectionOrder {
    struct Origin {
        var seconds: Double
        var inputs: Set<Digest>
    }

    private var seconds: [Digest: Double] = [:]
    private var consumers: [Digest: [Digest]] = [:]
    private var gone: Set<Digest> = []
    /// Cheapest last; costs only ever grow, so one that is found to have grown goes back in.
    private var queue: [(cost: Double, object: StoredObject)]

    init(_ objects: [StoredObject], origins: [Digest: Origin]) {
        func sane(_ seconds: Double) -> Double { seconds.isFinite ? max(seconds, 0) : 0 }
        queue = objects.map { (sane($0.seconds) / Double(max($0.bytes, 1)), $0) }
            .sorted { ($1.cost, $1.object.used, $1.object.digest.hex) < ($0.cost, $0.object.used, $0.object.digest.hex) }
        for object in objects { seconds[object.digest] = sane(object.seconds) }
        for (value, origin) in origins {
            for source in origin.inputs where source != value { consumers[source, default: []].append(value) }
        }
        // What went earlier is part of what its consumers cost.
        let absent = origins.filter { seconds[$0.key] == nil }
        gone = Set(absent.keys)
        for (value, origin) in absent { charge(sane(origin.seconds), toConsumersOf: value) }
    }

    mutating func next() -> StoredObject? {
        while let (cost, object) = queue.popLast() {
            let now = (seconds[object.digest] ?? 0) / Double(max(object.bytes, 1))
            guard now > cost else { return object }
            var (low, high) = (0, queue.count)
            while low < high {
                let middle = (low + high) / 2
                if queue[middle].cost < now { high = middle } else { low = middle + 1 }
            }
            queue.insert((now, object), at: low)
        }
        return nil
    }

    /// An object went: whoever wants what is made from it pays for it as well.
    mutating func isGone(_ digest: Digest) {
        guard gone.insert(digest).inserted, let cost = seconds[digest] else { return }
        charge(cost, toConsumersOf: digest)
    }

    private mutating func charge(_ cost: Double, toConsumersOf digest: Digest) {
        var reached: Set<Digest> = [digest]
        var rest = consumers[digest] ?? []
        while let next = rest.popLast() {
            guard reached.insert(next).inserted else { continue }
            seconds[next, default: 0] += cost
            if gone.contains(next) { rest += consumers[next] ?? [] }
        }
    }
}
