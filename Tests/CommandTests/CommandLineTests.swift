import Foundation
import Testing

@testable import understudy

/// Odd words on the command line, and streams that take nothing.
struct CommandLineTests {
    /// Runs a line of a shell in the program's folder; `$U` is the program.
    private func shell(_ program: Program, _ line: String) throws -> (status: Int32, errors: String) {
        let errors = try program.file("said")
        let process = try program.process([], output: .nullDevice, errors: errors.handle)
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["-c", "U='\(try Program.path())'; \(line)"]
        try process.run()
        process.waitUntilExit()
        return (process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus, errors.text)
    }

    @Test func lostOutputIsAnError() throws {
        let program = try Program()
        let run = "run Graphs/example.yaml --to segments"
        for words in ["plan Graphs/example.yaml --json", "graph Graphs/example.yaml", "schema", "--help", "--version", run, "\(run) --json"] {
            let result = try shell(program, "$U \(words) > /dev/full")
            #expect(result.status == 1 && result.errors.contains("standard output"), "\(words): \(result)")
        }
        // What went wrong is told by the status where nobody can read it.
        for (words, status) in [("run none.yaml", Int32(2)), ("model show none", 1), ("\(run)", 0)] {
            #expect(try shell(program, "$U \(words) 2> /dev/full").status == status, "\(words)")
        }
    }

    @Test("limits of the process are told with the remedy, and what was there stays") func limits() throws {
        let program = try Program()
        try program.write("kept", to: "schema.json")
        try program.write("type: t.signals\nversion: 1\nsummary: Fails.\noutputs: { out: { type: file, extension: txt } }\ncommand: [sh, program.sh]\n", to: "mine/node.yaml")
        try program.write("grep SigIgn /proc/self/status >&2; exit 1", to: "mine/program.sh")
        try program.write("understudy: 1\nname: signals\nnodes: { s: { type: t.signals } }\n", to: "signals.yaml")
        let ignoresTooLargeFiles = /SigIgn:\s+[0-9a-f]{9}[13579bdf]/
        for (line, said) in [
            ("ulimit -f 1; $U schema -o schema.json", "cannot write 'schema.json': the file-size limit (ulimit -f) was reached"),
            ("ulimit -f 200; $U run Graphs/example.yaml --quiet", "(ulimit -f)"),
            ("$U schema -o .", "cannot write '.': it is a folder"), ("$U run signals.yaml --nodes mine --quiet", "SigIgn"),
        ] where !line.hasPrefix("ulimit") || !Self.isSanitized {
            let result = try shell(program, line)
            #expect(result.status == 1 && result.errors.contains(said), "\(line): \(result)")
            // Programs that it starts are ended by the signal again.
            #expect(result.errors.firstMatch(of: ignoresTooLargeFiles) == nil, "\(result)")
        }
        #expect(try String(contentsOfFile: "\(program.folder)/schema.json", encoding: .utf8) == "kept")
        #expect(try FileManager.default.contentsOfDirectory(atPath: program.folder).filter { $0.hasSuffix(".part") } == [])
        #expect(try program.run(["cache", "verify"]).status == 0)
    }

    /// ThreadSanitizer itself takes more address space, and larger files.
    private static let isSanitized = ProcessInfo.processInfo.environment["TSAN_OPTIONS"] != nil

    @Test("where no threads can be made it says so instead of waiting for them", .disabled(if: isSanitized))
    func tooFewThreads() throws {
        // One stack of a thread has room, not a second.
        let result = try shell(Program(), "ulimit -s 1000000; ulimit -v 2000000; $U run Graphs/example.yaml")
        #expect(result.status == 1 && result.errors.contains("threads") && result.errors.contains("(ulimit -v)"), "\(result)")
    }

    @Test func durationsOfAClockThatWasSet() {
        for seconds in [-630_719_998.9, -1e-9, 2_209_000_000, .infinity, .nan] { #expect(durationText(seconds) == "unknown") }
        #expect(durationText(0) == "0 ms" && durationText(59.9) == "59.9 s" && durationText(86_400) == "24 h 00 min")
    }

    @Test("a reader that goes away ends the program as it ends others") func closedPipe() throws {
        let program = try Program()
        let result = try shell(program, "$U graph Graphs/example.yaml | true; exit ${PIPESTATUS[0]}")
        #expect(result.status == 128 + SIGPIPE && result.errors.isEmpty, "\(result)")
    }

    @Test("without standard streams what is printed goes nowhere, into no file of the cache either") func closedStreams() throws {
        let program = try Program()
        for streams in ["<&- >&-", "<&- >&- 2>&-"] {
            #expect(try shell(program, "$U run Graphs/example.yaml --to segments --force segments --json \(streams)").status == 0)
            let verified = try program.run(["cache", "verify"])
            #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
        }
    }

    @Test func oddWordsAreRefused() throws {
        let program = try Program()
        let published = "\(Program.root)/Tests/Fixtures/Configurations/wan_t2v"
        let lines = [
            (#"$U run Graphs/example.yaml --out $'o\xfft'"#, "is not UTF-8"), (#"$U plan $'\xff.yaml'"#, "is not UTF-8"),
            ("$U runs --cache ''", "--cache is empty"), ("$U run Graphs/example.yaml --out ''", "--out is empty"),
            ("$U plan Graphs/example.yaml --nodes none", "no folder 'none'"), ("$U nodes --nodes Graphs/example.yaml", "no folder 'Graphs/example.yaml'"), ("$U model show '\(published)' --frames \(Int.max)", "--frames takes a number from 1 to 1000000"),
            ("$U model show '\(published)' --frames 0", "--frames takes a number"),
            ("$U model forward --model '\(published)' --inputs '\(published)/inputs.safetensors' --output . --threads 0", "--threads takes a number from 1"),
            ("mkfifo film.mp4; $U plan Graphs/example.yaml --input driving=film.mp4", "it is a pipe, not a regular file"),
            ("mkfifo pipe; $U model forward --model '\(published)' --inputs '\(published)/inputs.safetensors' --output pipe", "'pipe' is no file"),
        ]
        for (line, said) in lines {
            let result = try shell(program, line)
            #expect(result.status == 2 && result.errors.contains(said), "\(line): \(result)")
        }
        let waiting = try shell(program, "$U model show pipe")
        #expect(waiting.status == 1 && waiting.errors.contains("is not a regular file"), "\(waiting)")
        #expect(try shell(program, "$U model show '\(published)' --frames 1000000 --size 16384x16384").status == 0)
        #expect(!FileManager.default.fileExists(atPath: "\(program.folder)/o\u{FFFD}t"))
    }
}
