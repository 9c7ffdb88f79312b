import Foundation
import GRDB
import NodeKit
import Safetensors

/// Small artifacts, which the index holds itself: no file to make, to sync or to look at.
///
/// Nodes of this process get their bytes. Whoever needs a file — an external node, `inspect`, a script — gets one, made when
/// it is asked for; it may be deleted at any time.
extension CacheStore {
    /// An artifact with its bytes at hand if it has no file.
    ///
    /// - Throws: ``StoreError`` when its bytes are not what its digest says.
    func opened(_ artifact: Artifact, _ db: Database) throws -> Artifact {
        if artifact.contents != nil { return artifact }
        guard let contents = try contents(of: artifact.digest, path: artifact.path, db) else { return artifact }
        return Artifact(type: artifact.type, path: artifact.path, digest: artifact.digest, contents: contents)
    }

    /// The bytes of a small artifact; nil when it is a file.
    private func contents(of digest: Digest, path: String, _ db: Database) throws -> MappedFile? {
        if let contents = commits.contents(digest) { return contents }
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT data FROM objects WHERE digest = ? AND suffix = 'safetensors'"), arguments: [digest.hex])
        guard let bytes = row?["data"] as Data? else { return nil }
        let contents = MappedFile(contents: Array(bytes), path: path)
        guard let file = try? SafetensorsFile(file: contents), Artifact.isIntact(file, digest: digest) else {
            throw StoreError("the index holds a damaged artifact \(digest.short); 'understudy cache verify' removes it, then run again")
        }
        return contents
    }

    /// An output as a value whose file is there.
    ///
    /// - Throws: ``StoreError`` when the file of a small one cannot be written.
    public func value(_ output: ActionRecord.Output) throws -> Artifact { try filed(artifact(output)) }

    /// An artifact that is a file at its path.
    ///
    /// - Throws: ``StoreError`` when a file for a small artifact cannot be written.
    func filed(_ artifact: Artifact) throws -> Artifact {
        let target = path(of: artifact.digest, suffix: "safetensors")
        guard artifact.path.hasSuffix(".safetensors"),
            let contents = try artifact.contents ?? snapshot({ try contents(of: artifact.digest, path: target, $0) })
        else { return artifact }
        let result = Artifact(type: artifact.type, path: target, digest: artifact.digest)
        let bytes = contents.withBytes { Data($0) }
        if FileManager.default.contents(atPath: target) == bytes { return result }
        // Aside in a folder that is cleared if this process is killed.
        let lease = try makeLease()
        defer { try? FileManager.default.removeItem(atPath: temporaryFolder(of: lease)) }
        let temporary = "\(temporaryFolder(of: lease))/\(artifact.digest.hex)"
        if mkdir((target as NSString).deletingLastPathComponent, 0o755) == 0 { Self.syncFolder("\(root)/objects") }
        do {
            try bytes.write(to: URL(fileURLWithPath: temporary))
            chmod(temporary, 0o444)
            // No file that is not whole ever has an object's name.
            guard Self.sync(temporary), rename(temporary, target) == 0 else { throw StoreError.system("cannot write '\(target)'") }
            Self.syncFolder((target as NSString).deletingLastPathComponent)
        } catch {
            unlink(temporary)
            throw StoreError("cannot write '\(target)': \(error)")
        }
        return result
    }

    /// Whether an object's bytes, in its file or in the index, are what its name promises.
    func isSound(_ digest: Digest, suffix: String, _ db: Database) -> Bool {
        let row = try? Row.fetchOne(
            db.cachedStatement(sql: "SELECT data FROM objects WHERE digest = ? AND suffix = ?"), arguments: [digest.hex, suffix])
        if let bytes = row?["data"] as Data? {
            let file = try? SafetensorsFile(file: MappedFile(contents: Array(bytes), path: digest.hex))
            return file.map { Artifact.isIntact($0, digest: digest) } ?? false
        }
        return (try? Artifact.digest(ofFile: path(of: digest, suffix: suffix), isTensorFile: suffix == "safetensors")) == digest
    }
}
