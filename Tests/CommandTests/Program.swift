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

    /// Runs it with the words of a command line.
    ///
    /// - Parameter terminal: Whether its output goes to a terminal.
    @discardableResult
    func run(_ words: [String], environment: [String: String] = [:], terminal: Bool = false) throws -> Result {
        let process = Process()
        let program = try Self.path()
        if terminal {
            process.executableURL = URL(filePath: "/usr/bin/script")
            process.arguments = ["-qec", ([program] + words).map { "'\($0)'" }.joined(separator: " "), "/dev/null"]
        } else {
            process.executableURL = URL(filePath: program)
            process.arguments = words
        }
        process.currentDirectoryURL = URL(filePath: folder)
        var variables = ProcessInfo.processInfo.environment
        for name in ["NO_COLOR", "UNDERSTUDY_CACHE"] { variables[name] = nil }
        variables["TERM"] = "xterm"
        process.environment = variables.merging(environment) { $1 }
        // Files, not pipes: nobody has to read while it runs.
        let name = "\(folder)/.\(UUID().uuidString)"
        for suffix in ["out", "err"] { try Data().write(to: URL(filePath: "\(name).\(suffix)")) }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: "\(name).out"))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: "\(name).err"))
        try process.run()
        process.waitUntilExit()
        func text(_ suffix: String) throws -> String { String(decoding: try Data(contentsOf: URL(filePath: "\(name).\(suffix)")), as: UTF8.self) }
        return Result(status: process.terminationStatus, output: try text("out"), errors: try text("err"))
    }
}
