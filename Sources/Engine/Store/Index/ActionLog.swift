import Foundation
import Safetensors
import NodeKit

/// What actions made, beside the index, so that a lost index can be rebuilt: a file of JSON lines that every process appends to.
///
/// Not synced: it only matters when the index is lost. What `cache gc` forgot is dropped from it then.
struct ActionLog: Sendable {
    /// One action, with the small outputs that are nowhere else.
    struct Line: Codable {
        let record: ActionRecord
        /// By digest.
        let contents: [String: Data]?
    }

    private let folder: String

    /// - Parameter folder: `actions/` of a store.
    init(folder: String) { self.folder = folder }

    private var path: String { "\(folder)/log.jsonl" }

    /// Appends what a group of commits made.
    func append(_ commits: [Commit]) {
        var text = "\n"  // Ends a line that a full disk cut short.
        for commit in commits {
            text += "{"
            if !commit.contents.isEmpty {
                text += "\"contents\":{"
                text += commit.contents.sorted { $0.key < $1.key }.map { "\"\($0.hex)\":\"\(Data($1).base64EncodedString())\"" }.joined(separator: ",")
                text += "},"
            }
            text += "\"record\":\(commit.record.json)}\n"
        }
        // Whoever rewrites the file holds it alone; then it is another file.
        while let descriptor = lock(LOCK_SH) {
            defer { close(descriptor.file) }
            if descriptor.isCurrent {
                text.withUTF8 { _ = Foundation.write(descriptor.file, $0.baseAddress, $0.count) }
                return
            }
        }
    }

    private func lock(_ mode: Int32) -> (file: Int32, isCurrent: Bool)? {
        let file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        var status = stat()
        guard file >= 0 else { return nil }
        guard flock(file, mode) == 0, fstat(file, &status) == 0 else {
            close(file)
            return nil
        }
        return (file, status.st_nlink > 0)
    }

    /// All that was appended, and the records of stores from before there was a log, which are files of their own.
    func lines() -> [Line] {
        let decoder = JSONDecoder()
        var lines: [Line] = []
        for path in recordFiles() {
            guard let data = FileManager.default.contents(atPath: path),
                let record = try? decoder.decode(ActionRecord.self, text: data),
                (path as NSString).lastPathComponent == "\(record.key.hex).json"
            else { continue }
            lines.append(Line(record: record, contents: nil))
        }
        let text = FileManager.default.contents(atPath: path) ?? Data()
        for line in text.split(separator: UInt8(ascii: "\n")) {
            if let line = try? decoder.decode(Line.self, text: line) { lines.append(line) }
        }
        return lines.filter(\.record.isSane)
    }

    /// Drops what is not to be kept.
    func compact(keeping isKept: (Digest) -> Bool) throws {
        while let descriptor = lock(LOCK_EX) {
            defer { close(descriptor.file) }
            guard descriptor.isCurrent else { continue }
            let lines = lines()
            let kept = lines.filter { isKept($0.record.key) }
            guard kept.count < lines.count || !recordFiles().isEmpty else { return }
            var data = Data()
            for line in kept { data += try JSON.encoder.encode(line) + Data("\n".utf8) }
            try data.write(to: URL(fileURLWithPath: path), options: .atomic)
            for path in recordFiles() { unlink(path) }
            return
        }
    }

    private func recordFiles() -> [String] {
        let files = FileManager.default
        return ((try? files.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.utf8.count == 2 }.sorted().flatMap { prefix in
            ((try? files.contentsOfDirectory(atPath: "\(folder)/\(prefix)")) ?? []).sorted().map { "\(folder)/\(prefix)/\($0)" }
        }
    }
}
