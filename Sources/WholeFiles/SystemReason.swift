import Foundation

/// What the system said when it refused something, for people.
public enum SystemReason {
    /// The system's words for a number of `errno`; for a file that may not grow further, which limit it is.
    public static func text(_ code: Int32) -> String {
        if code == EFBIG, hasLimit(RLIMIT_FSIZE) { return "the file-size limit (ulimit -f) was reached" }
        return String(cString: strerror(code))
    }

    /// What an error says; where Foundation only wraps what the system said, that instead, with the path.
    ///
    /// - Parameter withPath: False where the message names it already.
    public static func text(of error: any Error, withPath: Bool = true) -> String {
        let path = withPath ? (error as? CocoaError)?.filePath.map { "'\($0)': " } ?? "" : ""
        guard let code = code(of: error) else {
            if let error = error as? CocoaError { return path + "the system gave no reason (\(error.code.rawValue))" }
            return (error as? any LocalizedError)?.errorDescription ?? "\(error)"
        }
        return path + text(code)
    }

    /// The number of `errno` that an error of Foundation stands for; nil where it holds none.
    static func code(of error: any Error) -> Int32? {
        if let error = error as? POSIXError { return error.code.rawValue }
        // What older parts of Foundation wrap; every Swift error can be seen as one, under another domain.
        let plain = error as NSError
        if plain.domain == NSPOSIXErrorDomain { return Int32(exactly: plain.code) }
        guard let error = error as? CocoaError else { return nil }
        if let cause = error.userInfo[NSUnderlyingErrorKey] as? any Error, let code = code(of: cause) { return code }
        return switch error.code {
        case .fileNoSuchFile, .fileReadNoSuchFile: ENOENT
        case .fileReadNoPermission, .fileWriteNoPermission: EACCES
        case .fileWriteFileExists: EEXIST
        case .fileWriteOutOfSpace: ENOSPC
        case .fileWriteVolumeReadOnly: EROFS
        default: nil
        }
    }

    /// Whether this process has a limit of a kind.
    public static func hasLimit(_ resource: __rlimit_resource) -> Bool {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(UInt32(resource.rawValue)), &limit) == 0 && limit.rlim_cur != rlim_t.max
    }
}
