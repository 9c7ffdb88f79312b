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

    /// `run GRAPH --watch` in a program's folder.
    private final class Loop {
        let process: Process
        private let output, errors: Program.Written

        init(_ program: Program, _ words: [String]) throws {
            (output, errors) = (try program.file("output"), try program.file("errors"))
            process = try program.process(["run"] + words + ["--watch", "--json"], output: output.handle, errors: errors.handle)
            try process.run()
        }

        deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

        private func count(_ word: String, in text: String) -> Int { text.components(separatedBy: word).count - 1 }

        /// Waits for the end of a run, and for the loop to watch again; returns what ran.
        func awaitRun(_ number: Int) throws -> [String] {
            for _ in 0..<6000 where count("runFinished", in: output.text) < number || count("watching", in: errors.text) < number {
                guard process.isRunning else { break }
                usleep(20_000)
            }
            let lines = output.text.split(separator: "\n").filter { $0.contains("runFinished") }
            try #require(lines.count == number, "\(output.text) \(errors.text)")
            let event = try JSONSerialization.jsonObject(with: Data(lines[number - 1].utf8)) as? [String: Any]
            let summary = (event?["runFinished"] as? [String: Any])?["_0"] as? [String: Any]
            return ((summary?["ran"] as? [[String: Any]]) ?? []).compactMap { $0["node"] as? String }
        }

        /// Waits until it says something.
        func saysSoon(_ text: String) -> Bool {
            for _ in 0..<6000 where !errors.text.contains(text) && process.isRunning { usleep(20_000) }
            return errors.text.contains(text)
        }

        /// Ends it by Ctrl-C; returns its status.
        func stop() -> Int32 {
            process.interrupt()
            process.waitUntilExit()
            return process.terminationStatus
        }
    }

    @Test func savesRunAgain() throws {
        let program = try Program()
        try tensors(1).write(to: URL(filePath: "\(program.folder)/source.safetensors"))
        try program.write(graph, to: "base.yaml")
        try program.write("understudy: 1\nextends: base.yaml\n", to: "watched.yaml")
        let loop = try Loop(program, ["watched.yaml"])
        #expect(try loop.awaitRun(1) == ["load", "save"])
        // A file that the graph extends, written beside and renamed, as many editors do.
        try Data(graph.replacingOccurrences(of: "[a]", with: "[b]").utf8).write(to: URL(filePath: "\(program.folder)/base.yaml"), options: .atomic)
        #expect(try loop.awaitRun(2) == ["save"])
        // An input, written in place.
        try tensors(2).write(to: URL(filePath: "\(program.folder)/source.safetensors"))
        #expect(try loop.awaitRun(3) == ["load", "save"])
        // A broken graph says so, and the loop waits for the next save.
        try program.write(graph.replacingOccurrences(of: "tensor.load", with: "tensor.lod"), to: "base.yaml")
        #expect(loop.saysSoon("did you mean 'tensor.load'?"))
        try program.write(graph, to: "base.yaml")
        #expect(try loop.awaitRun(4) == ["save"])
        #expect(loop.stop() == 130)
    }

    @Test("a cache that is removed is made again by the next run") func removedCache() throws {
        let program = try Program()
        try tensors(1).write(to: URL(filePath: "\(program.folder)/source.safetensors"))
        try program.write(graph, to: "watched.yaml")
        let loop = try Loop(program, ["watched.yaml"])
        #expect(try loop.awaitRun(1) == ["load", "save"])
        for run in 2...3 {
            // The second time somebody has made another in its place.
            try FileManager.default.removeItem(atPath: "\(program.folder)/.understudy")
            if run == 3 { try program.run(["cache", "limit", "none"]) }
            try tensors(UInt8(run)).write(to: URL(filePath: "\(program.folder)/source.safetensors"))
            #expect(try loop.awaitRun(run) == ["load", "save"])
            #expect(loop.saysSoon("was removed; it is made again"))
        }
        #expect(loop.stop() == 130)
        #expect(try program.run(["cache", "verify"]).output.hasPrefix("2 artifacts"))
    }

    @Test("what a manifest lists under sources is watched: files, folders and what is new in them")
    func sourcesOfPrograms() throws {
        let program = try Program()
        let manifest = """
            type: t.shares
            version: 1
            summary: Says what it shares with others.
            outputs: { out: { type: file, extension: txt } }
            command: [python3, say.py]
            sources: [../shared/word.py, ../library]
            """
        let code = """
            import json, sys
            sys.path[:0] = ["../shared", "../library"]
            import word, deep.end
            open(json.load(open(sys.argv[1]))["outputs"]["out"], "w").write(word.word + deep.end.word)
            """
        try program.write(manifest, to: "mine/says/node.yaml")
        try program.write(code, to: "mine/says/say.py")
        try program.write("word = 'one'", to: "mine/shared/word.py")
        try program.write("word = 'end'", to: "mine/library/deep/end.py")
        try program.write("understudy: 1\nname: sharing\nnodes: { says: { type: t.shares } }\noutputs: { text: says.out }\n", to: "sharing.yaml")
        let loop = try Loop(program, ["sharing.yaml", "--nodes", "mine/says"])
        func said() throws -> String { try String(contentsOfFile: "\(program.folder)/out/sharing/text.txt", encoding: .utf8) }
        #expect(try loop.awaitRun(1) == ["says"])
        try program.write("word = 'two'", to: "mine/shared/word.py")
        #expect(try loop.awaitRun(2) == ["says"])
        #expect(try said() == "twoend")
        try program.write("word = 'END'", to: "mine/library/deep/end.py")
        #expect(try loop.awaitRun(3) == ["says"])
        #expect(try said() == "twoEND")
        try program.write("", to: "mine/library/deep/new.py")
        #expect(try loop.awaitRun(4) == ["says"])
        #expect(loop.stop() == 130)
    }

    /// Two arrays of one number.
    private func tensors(_ value: UInt8) -> Data {
        let header = #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#
        var data = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        data += Data(header.utf8) + Data([value, value + 1])
        return data
    }
}
