import Foundation
import Tensors
import Testing

@testable import understudy

/// The README's commands on the bundled example, and what scripts rely on: statuses, streams, JSON.
struct CommandTests {
    /// What stands after `$ understudy` in the README, with the lines printed below it.
    private func readmeCommands() throws -> [(words: [String], shown: [String])] {
        let text = try String(contentsOfFile: "\(Program.root)/README.md", encoding: .utf8)
        var commands: [(words: [String], shown: [String])] = []
        var (isFenced, isShown) = (false, false)
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if line.hasPrefix("```") {
                isFenced.toggle()
                isShown = false
            } else if isFenced, line.hasPrefix("$ ") {
                isShown = line.hasPrefix("$ understudy ")
                if isShown { commands.append((line.split(separator: " ").dropFirst(2).map(String.init), [])) }
            } else if isFenced, isShown {
                commands[commands.count - 1].shown.append(line)
            }
        }
        return commands
    }

    @Test func readmeCommandsDoWhatItSays() throws {
        let program = try Program()
        let first = try program.run(["run", "Graphs/example.yaml", "--quiet"])
        #expect(first.status == 0 && first.output.isEmpty && first.errors.isEmpty, "\(first.errors)")
        // The graph that the README shows the errors of.
        let edited = """
            understudy: 1
            extends: example.yaml
            nodes:
              sphere: { with: { confidense: 0.3 } }
              lines: { with: { thickness: 900 } }
              crops: { in: { faces: detect_driving.head } }
              film: { type: video.encod }
            """
        try Data(edited.utf8).write(to: URL(filePath: "\(program.folder)/Graphs/edited.yaml"))
        let commands = try readmeCommands()
        #expect(commands.count >= 6)
        for (words, shown) in commands {
            let result = try program.run(words)
            if words.first == "validate" {
                #expect(result.status == 2)
                #expect(result.errors.split(separator: "\n").map(String.init) == shown.filter { !$0.isEmpty })
            } else {
                #expect(result.status == 0, "\(words.joined(separator: " ")): \(result.errors)")
            }
        }
        #expect(FileManager.default.fileExists(atPath: "\(program.folder)/out/inspect/skeleton.smoothed.png"))

        let again = try program.run(["run", "Graphs/example.yaml", "--json"])
        let events = again.output.split(separator: "\n").map { try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] }
        #expect(again.status == 0 && events.count > 2 && events.allSatisfy { $0 != nil })
        let plan = try program.run(["plan", "Graphs/example.yaml", "--json"])
        #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(plan.output.utf8)) }

        #expect(try program.run(["report", "--out", "page/report.html"]).status == 0)
        let page = try String(contentsOfFile: "\(program.folder)/page/report.html", encoding: .utf8)
        #expect(page.contains("data:video/mp4;base64,") && page.contains("driving length"))
        // Nothing is fetched: every source lies in the page.
        #expect(!page.contains("src=\"http") && !page.contains("href=\"http") && !page.contains("url(http"))
        for (port, file, start) in [
            ("sound", "sound.wav", "RIFF"), ("bones.ratios", "ratios.csv", "label,ratio"), ("look", "look.png", "\u{FFFD}PNG"),
        ] {
            #expect(try program.run(["inspect", "Graphs/example.yaml", port, "--export", file]).status == 0, "\(port)")
            #expect(String(decoding: try Data(contentsOf: URL(filePath: "\(program.folder)/\(file)")).prefix(40), as: UTF8.self).hasPrefix(start), "\(port)")
        }
    }

    @Test func brokenGraphsExitWithTwo() throws {
        let program = try Program()
        let graphs = try FileManager.default.contentsOfDirectory(atPath: "\(Program.root)/Tests/Fixtures/BrokenGraphs").filter { $0.hasSuffix(".yaml") }
        #expect(graphs.count >= 12)
        for graph in graphs {
            let result = try program.run(["run", "\(Program.root)/Tests/Fixtures/BrokenGraphs/\(graph)"])
            #expect(result.status == 2 && result.output.isEmpty && result.errors.contains("\(graph):"), "\(graph): \(result.errors)")
        }
        #expect(try program.run(["validate", "nowhere.yaml"]).status == 2)
        #expect(try program.run(["validat"]).status == 2)
        #expect(try program.run(["--help"]).status == 0)
    }

    @Test func modelsAndPipelinesAreShown() throws {
        let program = try Program()
        let pipeline = try program.run(["model", "show", "\(Program.root)/Tests/Fixtures/Published/pipeline_wan_t2v"]).output.split(separator: "\n")
        #expect(pipeline.map { $0.prefix { $0 != " " } }.prefix(3) == ["transformer", "transformer_2", "vae"])
        #expect(pipeline[2].contains("AutoencoderKLWan") && pipeline[2].contains("52851 parameters"))
        let network = try program.run(["model", "show", "Examples/models/vae"]).output
        #expect(network.hasPrefix("BlockVAE  2151840 parameters") && network.contains("encoder"))
        try Data([0, 0, 0, 0xC0, 0, 0, 0, 0]).write(to: URL(filePath: "\(program.folder)/claims.safetensors"))
        let claims = try program.run(["model", "show", "claims.safetensors"])
        #expect(claims.status == 1 && claims.errors.contains("its header claims 3221225472 bytes"), "\(claims.errors)")
    }

    @Test("what nodes say cannot move the cursor, and a cell's colours take no columns")
    func textsAreMadeSafeForTerminals() {
        #expect(Terminal.plain("a\u{1B}[2J\r\u{7}b\u{9B}c\nd\te") == "a^[[2J^M^Gb\u{FFFD}c\nd\te")
        #expect(Terminal.line("ab\ncd", columns: 4) == "ab c" && Terminal.line("日本語", columns: 5) == "日本")
        var table = TextTable()
        table.add("a", "\u{1B}[33mlong\u{1B}[0m", "x")
        table.add("b", "\u{1B}[2mm\u{1B}[0m", "y")
        #expect(table.text.split(separator: "\n").map { $0.replacing(/\u{1B}\[[0-9]*m/, with: "") } == ["a  long  x", "b  m     y"])
    }

    @Test("results of another kind of processor are told from one's own, when that is asked for")
    func sameProcessor() throws {
        let program = try Program()
        let run = ["run", "Graphs/example.yaml", "--to", "segments", "--quiet"]
        #expect(try program.run(run).status == 0)
        let why = ["plan", "Graphs/example.yaml", "--to", "segments", "--same-processor", "--why", "segments"]
        let told = try program.run(why)
        #expect(told.output.contains("numeric policy changed: f32 → f32 \(Processor.kind)"), "\(told.output)")
        #expect(try program.run(run + ["--same-processor"]).status == 0)
        let shown = try program.run(["inspect", "Graphs/example.yaml", "segments", "--same-processor"])
        #expect(shown.status == 0 && !shown.output.contains("earlier run"), "\(shown.output)\(shown.errors)")
        #expect(try !program.run(why).output.contains("numeric policy"))
    }

    @Test("however few files may be open, there is an error and no trap")
    func fewDescriptors() throws {
        let program = try Program()
        for limit in 6..<40 {
            let process = Process()
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments = ["-c", "exec 2> errors; ulimit -n \(limit); exec \(try Program.path()) run Graphs/example.yaml --to segments -q"]
            process.currentDirectoryURL = URL(filePath: program.folder)
            try process.run()
            process.waitUntilExit()
            let said = try String(contentsOfFile: "\(program.folder)/errors", encoding: .utf8)
            #expect(process.terminationReason == .exit, "\(limit): \(said)")
            #expect(process.terminationStatus == 0 || said.contains("ulimit -n"), "\(limit): \(said)")
        }
    }

    @Test("a program's escape sequences reach the terminal as text", .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script")))
    func programsDoNotDrawOnTheTerminal() throws {
        let program = try Program()
        try FileManager.default.createDirectory(atPath: "\(program.folder)/mine", withIntermediateDirectories: true)
        let manifest = "type: t.loud\nversion: 1\nsummary: Clears the screen.\noutputs: { out: { type: file, extension: txt } }\ncommand: [python3, loud.py]\n"
        let code = """
            import json, sys
            print(json.dumps({"message": "\\x1b[2Jcleared"}), flush=True)
            sys.stderr.write("\\x1b[2Jgone")
            sys.exit(1)
            """
        for (name, text) in [("mine/node.yaml", manifest), ("mine/loud.py", code), ("loud.yaml", "understudy: 1\nname: loud\nnodes: { loud: { type: t.loud } }\n")] {
            try Data(text.utf8).write(to: URL(filePath: "\(program.folder)/\(name)"))
        }
        let result = try program.run(["run", "loud.yaml", "--nodes", "mine"], terminal: true)
        #expect(result.status == 1 && result.output.contains("^[[2Jgone") && !result.output.contains("\u{1B}[2J"), "\(result.output)")
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script")))
    func noColorIsHonoured() throws {
        let program = try Program()
        let words = ["validate", "\(Program.root)/Tests/Fixtures/BrokenGraphs/cycle.yaml"]
        #expect(try program.run(words, terminal: true).output.contains("\u{1B}["))
        #expect(try !program.run(words, environment: ["NO_COLOR": "1"], terminal: true).output.contains("\u{1B}["))
        #expect(try !program.run(words).errors.contains("\u{1B}["))
    }
}
