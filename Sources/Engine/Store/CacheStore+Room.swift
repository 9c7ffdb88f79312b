import Foundation

/// Room on the disk: a store keeps a little in reserve, since removing results from an index takes some as well.
extension CacheStore {
    static let spareSize: Int64 = 1 << 20

    private static func spare(_ root: String) -> String { "\(root)/spare" }

    /// How many bytes may still be written where the store is.
    static func room(in root: String) -> Int64 {
        var status = statvfs()
        guard statvfs(root, &status) == 0 else { return .max }
        return Int64(clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }

    /// Takes the reserve, unless it is there or there is little room anyway.
    static func keepSpare(root: String) {
        guard access(spare(root), F_OK) != 0, room(in: root) > 64 * spareSize else { return }
        let descriptor = open(spare(root), O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        if posix_fallocate(descriptor, 0, Int(spareSize)) != 0 { unlink(spare(root)) }
    }

    /// Gives the reserve up if the disk is full, so that the store can be opened and results can be removed; the next who opens it
    /// with enough room takes it again.
    public static func giveUpSpare(root: String) {
        if room(in: root) < spareSize { unlink(spare(URL(fileURLWithPath: root).standardizedFileURL.path)) }
    }

    static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }
}
