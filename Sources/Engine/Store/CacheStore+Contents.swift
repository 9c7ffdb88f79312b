import Foundation
import GRDB
import NodeKit
import Safetensors

/// Small artifacts, which the index holds itself: no file to make, to sync or to look at.
///
/// Nodes of this process get their bytes. Whoever needs a file — an external node, `inspect`, a script — gets one, made when
/// it is asked for; it may be deleted at any time.
extension CacheStore {
    /// The bytes of a small artifact; nil when it is a file.
    ///
    /// - Throws: ``DamagedContents`` when its bytes are not what its digest says.
    func contents(of digest: Digest, _ db: Database) throws -> MappedFile? {
        if let contents = commits.contents(digest) { return contents }
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT data FROM objects WHERE digest = ? AND suffix = 'safetensors'"), arguments: [digest.hex])
        guard let row, !row.isNull("data") else { return nil }
        guard let bytes = row.blob("data") else { throw DamagedContents(digest: digest) }
        let contents = MappedFile(contents: Array(bytes), path: path(of: digest, suffix: "safetensors"))
        guard let file = try? SafetensorsFile(file: contents), Artifact.isIntact(file, digest: digest) else {
            throw DamagedContents(digest: digest)
        }
        return contents
    }

    /// An output as a value whose file is there; of a small one on a full disk, with its bytes at hand.
    ///
    /// - Throws: ``StoreError`` when the file of a small one cannot be written.
    public func value(_ output: ActionRecord.Output) throws -> Artifact {
        do {
            return try filed(artifact(output))
        } catch where Self.room(in: root) < Self.spareSize {
            return try contents(of: output)
        }
    }

    /// An output as a value with its bytes at hand, if it is small; else at its path, if it is still there.
    ///
    /// - Throws: When the index cannot be read, or holds other bytes than it should.
    public func contents(of output: ActionRecord.Output) throws -> Artifact {
        let artifact = artifact(output)
        return try read { try $0.opened(artifact) }
    }

    /// An artifact that is a file at its path.
    ///
    /// - Throws: ``StoreError`` when a file for a small artifact cannot be written.
    func filed(_ artifact: Artifact) throws -> Artifact {
        let target = path(of: artifact.digest, suffix: "safetensors")
        guard artifact.path.hasSuffix(".safetensors"),
            let contents = try artifact.contents ?? read({ try $0.contents(of: artifact.digest) })
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
            throw error is StoreError ? error : StoreError("cannot write '\(target)': \(StoreError.text(error))")
        }
        return result
    }

    /// Writes the file that a program was given of a small artifact again if it is not what it was.
    ///
    /// - Returns: Whether it had to be.
    /// - Throws: ``StoreError`` when it cannot be written.
    func mendCopy(of digest: Digest) throws -> Bool {
        let path = path(of: digest, suffix: "safetensors")
        guard access(path, F_OK) == 0, (try? Artifact.digest(ofFile: path, isTensorFile: true)) != digest else { return false }
        _ = try filed(Artifact(type: "file", path: path, digest: digest))
        return true
    }

    /// Whether an object's bytes, in its file or in the index, are what its name promises.
    func isSound(_ digest: Digest, suffix: String, _ db: Database) -> Bool {
        let row = try? Row.fetchOne(
            db.cachedStatement(sql: "SELECT data FROM objects WHERE digest = ? AND suffix = ?"), arguments: [digest.hex, suffix])
        if let row, !row.isNull("data") {
            guard let bytes = row.blob("data") else { return false }
            let file = try? SafetensorsFile(file: MappedFile(contents: Array(bytes), path: digest.hex))
            return file.map { Artifact.isIntact($0, digest: digest) } ?? false
        }
        return (try? Artifact.digest(ofFile: path(of: digest, suffix: suffix), isTensorFile: suffix == "safetensors")) == digest
    }
}

/// The index holds bytes that are not what they should be. What noticed it drops them, so that the next run makes them again.
struct DamagedContents: Error, CustomStringConvertible {
    let digest: Digest
    var description: String { "the index held a damaged artifact, \(digest.short); run again, and it is made again" }
}

extension StoreReader {
    /// An artifact with its bytes at hand if it has no file, else at the path where its file is now.
    ///
    /// - Throws: ``DamagedContents`` when its bytes are not what its digest says.
    func opened(_ artifact: Artifact) throws -> Artifact {
        if artifact.contents != nil { return artifact }
        // Its name may have been found before the bytes, which another action made meanwhile and which are still on their way.
        let path = store.commits.file(artifact.digest) ?? artifact.path
        return Artifact(type: artifact.type, path: path, digest: artifact.digest, contents: try contents(of: artifact.digest))
    }

    /// The bytes of a small artifact; nil when it is a file.
    func contents(of digest: Digest) throws -> MappedFile? {
        do {
            return try store.contents(of: digest, db)
        } catch let error as DamagedContents {
            notes.damaged.insert(.init(digest: digest, suffix: "safetensors"))
            throw error
        }
    }
}
