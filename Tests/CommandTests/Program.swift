import Foundation
import Testing

/// The program as a user has it: a process in a folder with the repository's graphs, examples and nodes, and a cache of its own.
final class Program: Sendable {
    struct Result {
        let status: Int32
        let output: String
        let errors: String
    }

    /// The repository.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "command-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: "\(folder)/Graphs", withIntermediateDirectories: true)
        for name in ["Examples", "Nodes"] {
            try FileManager.default.createSymbolicLink(atPath: "\(folder)/\(name)", withDestinationPath: "\(Self.root)/\(name)")
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: "\(Self.root)/Graphs") {
            try FileManager.default.createSymbolicLink(atPath: "\(folder)/Graphs/\(name)", withDestinationPath: "\(Self.root)/Graphs/\(name)")
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// The program, built beside the tests.
    static func path() throws -> String {
        var place = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        for _ in 0..<4 {
            place = place.deletingLastPathComponent()
            let found = place.appending(path: "understudy").path
            var isFolder: ObjCBool = false
            if FileManager.default.fileExists(atPath: found, isDirectory: &isFolder), !isFolder.boolValue { return found }
        }
        throw CocoaError(.fileNoSuchFile)
    }

    /// A process that runs it with the words of a command line in its folder, as a user who has set nothing would; not started yet.
    func process(_ words: [String], environment: [String: String] = [:], output: FileHandle, errors: FileHandle) throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: try Self.path())
        process.arguments = words
        process.currentDirectoryURL = URL(filePath: folder)
        var variables = ProcessInfo.processInfo.environment
        for name in ["NO_COLOR", "UNDERSTUDY_CACHE"] { variables[name] = nil }
        variables["TERM"] = "xterm"
        process.environment = variables.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = errors
        return process
    }

    /// Runs it to its end.
    ///
    /// - Parameter terminal: Whether its output goes to a terminal.
    @discardableResult
    func run(_ words: [String], environment: [String: String] = [:], terminal: Bool = false) throws -> Result {
        // Files, not pipes: nobody has to read while it runs.
        let (output, errors) = (try file(".\(UUID().uuidString)"), try file(".\(UUID().uuidString)"))
        let process = try process(words, environment: environment, output: output.handle, errors: errors.handle)
        if terminal {
            process.arguments = ["-qec", ([try Self.path()] + words).map { "'\($0)'" }.joined(separator: " "), "/dev/null"]
            process.executableURL = URL(filePath: "/usr/bin/script")
        }
        try process.run()
        process.waitUntilExit()
        return Result(status: process.terminationStatus, output: output.text, errors: errors.text)
    }

    /// A file of its folder that a process writes to, and what is in it so far.
    struct Written {
        let handle: FileHandle
        fileprivate let path: String
        var text: String { String(decoding: (try? Data(contentsOf: URL(filePath: path))) ?? Data(), as: UTF8.self) }
    }

    func file(_ name: String) throws -> Written {
        try write("", to: name)
        return Written(handle: try FileHandle(forWritingTo: URL(filePath: "\(folder)/\(name)")), path: "\(folder)/\(name)")
    }

    /// Writes a file, and the folders it is in.
    func write(_ text: String, to name: String) throws {
        let file = URL(filePath: "\(folder)/\(name)")
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }
}
