import Foundation
import GRDB
import NodeKit

/// What instances took in the past: rows of the index, the last few of each node type.
struct CostHistory: Sendable {
    let store: CacheStore

    /// Learns the models of node types.
    func models(of types: [NodeDescription]) throws -> [NodeType: CostModel] {
        try store.database.read { try Self.models(of: types, $0) }
    }

    /// The same, inside a transaction.
    static func models(of types: [NodeDescription], _ db: Database) throws -> [NodeType: CostModel] {
        var result: [NodeType: CostModel] = [:]
        for description in types where result[description.type] == nil {
            let rows = try String.fetchAll(
                db.cachedStatement(sql: "SELECT sample FROM costs WHERE node = ? ORDER BY id"), arguments: [description.type.name])
            let samples = rows.compactMap { JSON.decode(CostSample.self, $0) }
            result[description.type] = CostModel(samples: samples, version: description.version)
        }
        return result
    }

    /// Adds what instances took, and forgets what is older than the last few of their type.
    func add(_ samples: [(type: String, sample: CostSample)]) throws {
        guard !samples.isEmpty else { return }
        try store.database.write { db in
            // Of ten thousand instances of a type the last few do.
            var byType: [String: [CostSample]] = [:]
            for (type, sample) in samples where sample.isSane { byType[type, default: []].append(sample) }
            for (type, samples) in byType {
                for sample in samples.suffix(CostModel.count) {
                    try db.cachedStatement(sql: "INSERT INTO costs (node, sample) VALUES (?, ?)")
                        .execute(arguments: [type, JSON.text(sample)])
                }
                try db.cachedStatement(
                    sql: """
                        DELETE FROM costs WHERE node = ? AND id NOT IN
                        (SELECT id FROM costs WHERE node = ? ORDER BY id DESC LIMIT ?)
                        """
                ).execute(arguments: [type, type, CostModel.count])
            }
        }
    }
}

extension CostSample {
    /// The numeric ones among a node's parameters.
    static func numbers(_ parameters: [String: ParameterLiteral]) -> [String: Double] {
        parameters.compactMapValues { literal in
            switch literal {
            case .integer(let value): Double(value)
            case .number(let value) where value.isFinite: value
            default: nil
            }
        }
    }

    /// The others, long ones by their digest.
    static func choices(_ parameters: [String: ParameterLiteral]) -> [String: String] {
        parameters.compactMapValues { literal in
            switch literal {
            case .integer: return nil
            case .number(let value) where value.isFinite: return nil
            default:
                let text = literal.canonical
                return text.utf8.count <= 40 ? text : String(Digest.of(text).hex.prefix(16))
            }
        }
    }

    /// Bytes of values; a model counts for nothing, as it is mapped and its type the same from run to run.
    static func size(of artifacts: some Sequence<Artifact>) -> Double {
        artifacts.reduce(0) { sum, artifact in
            if let stream = artifact.stream { return sum + Double(stream.stream.format.byteCount) }
            if let contents = artifact.contents { return sum + Double(contents.byteCount) }
            return artifact.type == .model ? sum : sum + Double(FileState(path: artifact.path)?.size ?? 0)
        }
    }
}
