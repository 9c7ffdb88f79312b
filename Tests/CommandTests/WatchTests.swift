import Foundation
import Testing

/// `run --watch` as a process: it runs again after a save, waits while the graph is broken, and ends by Ctrl-C.
struct WatchTests {
    private let graph = """
        understudy: 1
        name: watched
        inputs: { source: { type: file, default: source.safetensors } }
        nodes:
          load: { type: tensor.load, in: { file: inputs.source } }
          save: { type: tensor.save, in: { tensors: load.tensors }, with: { names: [a] } }
        outputs: { file: save.file }
        """

    @Test func savesRunAgain() throws {
        let program = try Program()
        func write(_ name: String, _ data: Data, byRename: Bool = false) throws {
            // `.atomic` writes beside and renames, as many editors do.
            try data.write(to: URL(filePath: "\(program.folder)/\(name)"), options: byRename ? .atomic : [])
        }
        try write("source.safetensors", tensors(1))
        try write("base.yaml", Data(graph.utf8))
        try write("watched.yaml", Data("understudy: 1\nextends: base.yaml\n".utf8))
        let (output, errors) = ("\(program.folder)/output", "\(program.folder)/errors")
        for path in [output, errors] { try Data().write(to: URL(filePath: path)) }
        let process = Process()
        process.executableURL = URL(filePath: try Program.path())
        process.arguments = ["run", "watched.yaml", "--watch", "--json"]
        process.currentDirectoryURL = URL(filePath: program.folder)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: output))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: errors))
        try process.run()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
        func count(_ word: String, in text: String) -> Int { text.components(separatedBy: word).count - 1 }
        /// Waits for the end of a run, and for the loop to watch again; returns what ran.
        func awaitRun(_ number: Int) throws -> [String] {
            for _ in 0..<6000 where count("runFinished", in: text(output)) < number || count("watching", in: text(errors)) < number {
                guard process.isRunning else { break }
                usleep(20_000)
            }
            let lines = text(output).split(separator: "\n").filter { $0.contains("runFinished") }
            try #require(lines.count == number, "\(text(output)) \(text(errors))")
            let event = try JSONSerialization.jsonObject(with: Data(lines[number - 1].utf8)) as? [String: Any]
            let summary = (event?["runFinished"] as? [String: Any])?["_0"] as? [String: Any]
            return ((summary?["ran"] as? [[String: Any]]) ?? []).compactMap { $0["node"] as? String }
        }
        #expect(try awaitRun(1) == ["load", "save"])
        // A file that the graph extends, replaced by rename.
        try write("base.yaml", Data(graph.replacingOccurrences(of: "[a]", with: "[b]").utf8), byRename: true)
        #expect(try awaitRun(2) == ["save"])
        // An input, written in place.
        try write("source.safetensors", tensors(2))
        #expect(try awaitRun(3) == ["load", "save"])
        // A broken graph says so, and the loop waits for the next save.
        try write("base.yaml", Data(graph.replacingOccurrences(of: "tensor.load", with: "tensor.lod").utf8))
        for _ in 0..<6000 where !text(errors).contains("did you mean 'tensor.load'?") && process.isRunning { usleep(20_000) }
        #expect(text(errors).contains("did you mean 'tensor.load'?"))
        try write("base.yaml", Data(graph.utf8))
        #expect(try awaitRun(4) == ["save"])
        process.interrupt()
        process.waitUntilExit()
        #expect(process.terminationStatus == 130)
    }

    /// Two arrays of one number.
    private func tensors(_ value: UInt8) -> Data {
        let header = #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#
        var data = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        data += Data(header.utf8) + Data([value, value + 1])
        return data
    }
}
