import Foundation
import Testing

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
