import Foundation
import Testing
import WholeFiles

/// A file is there whole, or as it was before; and what the system said comes through.
struct WholeFilesTests {
    private let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "whole-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: "\(folder)/place", withIntermediateDirectories: true)
    }

    private func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }
    private func text(_ name: String) throws -> String { try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8) }

    @Test("a file is replaced whole, with its permissions; through a link the one that it leads to") func replaces() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data("old".utf8).write(to: URL(filePath: "\(folder)/file"))
        chmod("\(folder)/file", 0o600)
        try FileManager.default.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "file")
        try Data("more".utf8).write(to: URL(filePath: "\(folder)/source"))
        chmod("\(folder)/source", 0o444)

        try WholeFile.write(Data("new".utf8), to: "\(folder)/link")
        var status = stat()
        #expect(try text("file") == "new" && stat("\(folder)/file", &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/link") == "file")
        // The permissions of what is copied are not taken over: those of an artifact forbid writing.
        let long = String(repeating: "n", count: 255)
        try WholeFile.copy("\(folder)/source", to: "\(folder)/\(long)")
        #expect(try text(long) == "more" && stat("\(folder)/\(long)", &status) == 0 && status.st_mode & 0o200 != 0)
        #expect(try names() == ["file", "link", long, "place", "source"].sorted())
    }

    @Test("what fails leaves the older file and nothing else") func failures() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data("old".utf8).write(to: URL(filePath: "\(folder)/file"))
        do {
            // Given up after half of it was written.
            let file = try WholeFile(path: "\(folder)/file")
            try Data("ha".utf8).write(to: URL(filePath: file.temporary))
        }
        try FileManager.default.createSymbolicLink(atPath: "\(folder)/full", withDestinationPath: "/dev/full")
        for (name, reason) in [
            ("place", "it is a folder"), ("none/file", "there is no folder '\(folder)/none'"), ("file/file", "Not a directory"),
            ("full", "No space left on device"), (String(repeating: "n", count: 256), "File name too long"),
        ] {
            let error = #expect(throws: FileFailure.self) { try WholeFile.write(Data("new".utf8), to: "\(folder)/\(name)") }
            #expect("\(try #require(error))".hasPrefix("cannot write '\(folder)/\(name)': \(reason)"), "\(String(describing: error))")
        }
        let error = #expect(throws: FileFailure.self) { try WholeFile.copy("\(folder)/none", to: "\(folder)/file") }
        #expect("\(try #require(error))" == "cannot read '\(folder)/none': No such file or directory")
        #expect(try names() == ["file", "full", "place"] && text("file") == "old")
    }

    @Test("a device is written to, and stays one") func devices() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try WholeFile.write(Data("text".utf8), to: "/dev/null")
        var status = stat()
        #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    }

    @Test("errors of Foundation are told in the system's words") func reasons() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data().write(to: URL(filePath: "\(folder)/file"))
        let attempts: [(reason: String, () throws -> Void)] = [
            ("Not a directory", { try FileManager.default.createDirectory(atPath: "\(folder)/file/below", withIntermediateDirectories: true) }),
            ("File exists", { try FileManager.default.createDirectory(atPath: "\(folder)/file", withIntermediateDirectories: false) }),
            ("No such file or directory", { _ = try Data(contentsOf: URL(filePath: "\(folder)/none")) }),
            ("No such file or directory", { try FileManager.default.copyItem(atPath: "\(folder)/none", toPath: "\(folder)/other") }),
            ("Is a directory", { try Data().write(to: URL(filePath: "\(folder)/place")) }),
            ("No space left on device", { try FileHandle(forWritingTo: URL(filePath: "/dev/full")).write(contentsOf: Data([1])) }),
            ("No space left on device", { throw CocoaError(.fileWriteOutOfSpace) }),
            ("Input/output error", { throw CocoaError(.fileWriteUnknown, userInfo: [NSUnderlyingErrorKey: POSIXError(.EIO)]) }),
            ("Input/output error", { throw CocoaError(.fileWriteUnknown, userInfo: [NSUnderlyingErrorKey: NSError(domain: NSPOSIXErrorDomain, code: 5)]) }),
            ("the system gave no reason (512)", { throw CocoaError(.fileWriteUnknown) }),
            ("FileFailure", { throw FileFailure(path: "FileFailure", reason: "") }),
        ]
        for (reason, attempt) in attempts {
            let error = #expect(throws: (any Error).self) { try attempt() }
            let text = SystemReason.text(of: try #require(error))
            #expect(text.contains(reason) && !text.contains("NSCocoaErrorDomain"), "\(reason): \(text)")
        }
    }
}
