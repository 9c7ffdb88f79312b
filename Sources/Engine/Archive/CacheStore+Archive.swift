import Foundation
import Safetensors
import GRDB
import NodeKit

/// What an export or import moved.
public struct ArchiveReport: Sendable, Hashable, Codable {
    /// Actions in the archive.
    public let actions: Int
    /// Artifacts in the archive.
    public let objects: Int
    public let bytes: Int64
    /// Instances of the run whose results are no longer in the cache (export), or actions that were there already (import).
    public let skipped: Int
}

/// Archives hold what a run made and used: with them, another machine goes on where this one stands.
///
///     objects/<digest>.<suffix>   artifacts, each before the first action that names it
///     actions/<key>.json          what each action made
///
/// Keys do not depend on paths or machines, so imported results are hits wherever graph, inputs and node versions are the same.
extension CacheStore {
    private static let recordLimit = 16 << 20

    /// Writes the closure of a run: results of all its instances, and the cuts and segments they took.
    ///
    /// - Parameters:
    ///   - run: Its number in the journal.
    ///   - path: The archive; its ending chooses the compression.
    /// - Throws: ``StoreError`` when there is no such run or the archive cannot be written.
    public func exportArchive(run: Int64, to path: String) throws -> ArchiveReport {
        let journal = Journal(store: self)
        guard try journal.run(run) != nil else { throw StoreError("there is no run \(run); 'understudy runs' lists them") }
        // The lease keeps gc from what is read here; where there is no room for one, gc is kept from beginning.
        let lease = try keepsNotes ? makeLease() : nil
        let gate = try keepsNotes ? nil : beginningOfRuns(exclusive: false)
        defer {
            if let lease { try? FileManager.default.removeItem(atPath: temporaryFolder(of: lease)) }
            if let gate { close(gate) }
        }
        let (records, evicted) = try closure(of: journal.entries(of: run))
        let writer = try ArchiveWriter(path: path)
        var written: Set<String> = []
        var sizes: [Int64] = []
        for record in records {
            for output in record.outputs.values.sorted(by: { $0.digest < $1.digest }) {
                let name = "\(output.digest.hex).\(output.suffix)"
                guard written.insert(name).inserted else { continue }
                let artifact = try contents(of: output)
                if let contents = artifact.contents {
                    try writer.write(contents.withBytes { Data($0) }, as: "objects/\(name)")
                } else {
                    try writer.write(fileAt: artifact.path, as: "objects/\(name)")
                }
                sizes.append(output.bytes)
            }
            try writer.write(try JSON.encoder.encode(record), as: "actions/\(record.key.hex).json")
        }
        try writer.finish()
        return ArchiveReport(actions: records.count, objects: written.count, bytes: sizes.clampedSum, skipped: evicted)
    }

    /// The records of some instances' actions and of the cuts among their inputs, in key order; and how many are gone.
    private func closure(of entries: [JournalEntry]) throws -> (records: [ActionRecord], evicted: Int) {
        try read { reader in
            var keys: Set<Digest> = []
            var gone: Set<Digest> = []
            for entry in entries {
                if let key = entry.key, entry.status == .ran || entry.status == .cached { keys.insert(key) }
                for input in entry.fingerprint.inputs.values.joined() {
                    guard let digest = input.digest else { continue }
                    // Cuts are actions that the journal does not list; their products are what the instances took.
                    let cuts = try String.fetchAll(
                        reader.db.cachedStatement(
                            sql: """
                                SELECT p.key FROM products p JOIN actions a ON a.key = p.key
                                WHERE p.digest = ? AND a.node = 'cut'
                                """), arguments: [digest.hex])
                    keys.formUnion(cuts.compactMap(Digest.init(hex:)))
                }
            }
            var records: [ActionRecord] = []
            for key in keys.sorted() {
                if case .hit(let record) = try reader.lookup(key) { records.append(record) } else { gone.insert(key) }
            }
            return (records, gone.count)
        }
    }

    /// Takes over what an archive holds. Each artifact is hashed on the way in; a kill leaves whole actions only.
    ///
    /// - Throws: ``StoreError`` when the archive is damaged, incomplete or holds anything else.
    public func importArchive(from path: String) throws -> ArchiveReport {
        let lease = try makeLease()
        let folder = temporaryFolder(of: lease)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let reader = try ArchiveReader(path: path)
        func refused(_ name: String, _ reason: String) -> StoreError {
            StoreError("'\(path)': '\(name)' \(reason); is the archive whole, and made by 'understudy cache export'?")
        }
        var actions = 0
        var objects = 0
        var known = 0
        var bytes: Int64 = 0
        while let entry = try reader.next() {
            let parts = entry.name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            let file = parts.last.map { ($0 as NSString) } ?? ""
            guard parts.count == 2, let digest = Digest(hex: file.deletingPathExtension) else {
                throw refused(entry.name, "is neither an artifact nor an action")
            }
            switch (parts[0], file.pathExtension) {
            case ("objects", let suffix) where Self.isSuffix(suffix):
                let target = "\(folder)/\(digest.hex).\(suffix)"
                try entry.extract(to: target, isTensorFile: suffix == "safetensors")
                guard let found = try? Artifact.digest(ofFile: target, isTensorFile: suffix == "safetensors"), found == digest else {
                    throw refused(entry.name, "does not hold the bytes that its name promises")
                }
                objects += 1
                bytes += FileState(path: target)?.size ?? 0
            case ("actions", "json"):
                let data = try entry.data(limit: Self.recordLimit)
                guard let record = try? JSONDecoder().decode(ActionRecord.self, text: data), record.key == digest, record.isSane,
                    record.outputs.values.allSatisfy({ Self.isSuffix($0.suffix) })
                else { throw refused(entry.name, "is not an action's record") }
                if try take(record, from: folder) { actions += 1 } else { known += 1 }
            default: throw refused(entry.name, "is neither an artifact nor an action")
            }
        }
        guard actions + known > 0 else {
            throw objects > 0 ? refused("actions", "are missing") : StoreError("'\(path)' holds no results; is the archive whole, and made by 'understudy cache export'?")
        }
        return ArchiveReport(actions: actions, objects: objects, bytes: bytes, skipped: known)
    }

    private static func isSuffix(_ suffix: String) -> Bool {
        (1...16).contains(suffix.utf8.count) && suffix.utf8.allSatisfy { (48...57).contains($0) || (97...122).contains($0) }
    }

    /// Commits an imported action; false when the store has it.
    private func take(_ record: ActionRecord, from folder: String) throws -> Bool {
        let isKnown = try read { if case .hit = try $0.lookup(record.key) { true } else { false } }
        if isKnown { return false }
        var written: [String: OutputSink.Written] = [:]
        for (port, output) in record.outputs {
            let name = "\(output.digest.hex).\(output.suffix)"
            var path = "\(folder)/\(name)"
            if !FileManager.default.fileExists(atPath: path) {
                guard try read({ try $0.isIntact(output.digest, suffix: output.suffix) }) else {
                    throw StoreError("the archive is incomplete: action \(record.key.short) names the artifact \(name), which is not in it")
                }
                path = try filed(artifact(output)).path
            }
            written[port] = .init(path: path, type: PortType(output.type), digest: output.digest)
        }
        try commit(
            Commit(
                key: record.key, node: record.node, version: record.version, seconds: record.seconds, memory: record.memory,
                source: record.source, written: written, inlineLimit: inlineLimit))
        return true
    }
}
