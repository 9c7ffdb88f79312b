import Foundation
import NodeKit
import Safetensors

/// Artifacts' files as they are on disk: what cannot be read for now is neither gone nor damaged.
extension FileState {
    /// The state of an artifact's file; nil when there is none.
    ///
    /// - Throws: ``StoreError`` when that cannot be told.
    init?(stored path: String) throws {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if Self.isAbsence(errno) { return nil }
            throw StoreError.unreadable(path)
        }
        self.init(status)
    }

    /// Whether a refusal to open a path says that nothing is there that could be opened, now or later.
    static func isAbsence(_ code: Int32) -> Bool { [ENOENT, ENOTDIR, ELOOP].contains(code) }
}

extension CacheStore {
    /// Whether the bytes of an artifact's file are what its name promises; false when there is none.
    ///
    /// - Throws: ``StoreError`` when they cannot be read.
    func holdsItsBytes(_ digest: Digest, suffix: String) throws -> Bool {
        let path = path(of: digest, suffix: suffix)
        guard try FileState(stored: path) != nil else { return false }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if FileState.isAbsence(errno) { return false }
            throw StoreError.unreadable(path)
        }
        close(descriptor)
        do {
            return try Artifact.digest(ofFile: path, isTensorFile: suffix == "safetensors") == digest
        } catch let error as SafetensorsError where error.code != .inputOutput {
            return false
        } catch {
            // It may have been removed meanwhile; else the disk or the system refused.
            guard try FileState(stored: path) != nil else { return false }
            throw StoreError("\(error); the artifact was left as it is")
        }
    }

    /// Checks that the folder of artifacts can be looked into.
    ///
    /// - Throws: ``StoreError`` when it cannot.
    func checkReadable() throws {
        let folder = "\(root)/objects"
        guard faccessat(AT_FDCWD, folder, R_OK | X_OK, AT_EACCESS) == 0 || FileState.isAbsence(errno) else { throw StoreError.unreadable(folder) }
    }
}

extension StoreError {
    /// Something of the store cannot be read, for the reason that the system gave last.
    static func unreadable(_ path: String) -> StoreError {
        let code = errno
        let remedy = switch code {
        case EACCES, EPERM: "give this user the permission to read it"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        default: "check the disk"
        }
        return StoreError("cannot read '\(path)': \(String(cString: strerror(code))); nothing of it was removed: \(remedy), or choose another cache with --cache")
    }
}
