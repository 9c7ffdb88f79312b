import Foundation
import Testing

/// What a person sees in a terminal while a graph runs.
struct TerminalTests {
    /// A node that says how far it is, and waits for the file `step1`, `step2`, … before each of its steps.
    private func writeGraph(_ program: Program) throws {
        try program.write(
            """
            type: t.steps
            version: 1
            summary: Takes three steps.
            inputs: { after: { type: file, optional: true } }
            outputs: { out: { type: file, extension: txt } }
            parameters:
              steps: { kind: integer, default: 3, help: How many. }
              salt: { kind: integer, default: 0, help: Makes it another result. }
            cost: { threads: 1 }
            command: [python3, steps.py]
            grace: 600
            """, to: "mine/node.yaml")
        try program.write(
            """
            import json, os, signal, sys, time
            request = json.load(open(sys.argv[1]))
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            steps = request["parameters"]["steps"]
            if steps > 0: open("../number%d" % request["parameters"]["salt"], "w").write(str(os.getpid()))
            for step in range(steps):
                print(json.dumps({"progress": {"done": step, "total": steps, "unit": "steps"}}), flush=True)
                while not os.path.exists("../step%d" % (step + 1)): time.sleep(0.01)
            open(request["outputs"]["out"], "w").write("done")
            """, to: "mine/steps.py")
        try program.write(
            """
            understudy: 1
            name: stepping
            nodes:
              before: { type: t.steps, with: { steps: 0 } }
              first_of_two_nodes: { type: t.steps, in: { after: before.out } }
              second_of_two_nodes: { type: t.steps, in: { after: before.out }, with: { salt: 1 } }
            """, to: "stepping.yaml")
    }

    private func start(_ program: Program, _ terminal: PseudoTerminal) throws -> Process {
        let words = ["run", "stepping.yaml", "--nodes", "mine", "--threads", "2"]
        let process = try program.process(words, environment: ["NO_COLOR": "1"], output: terminal.handle, errors: terminal.handle)
        try process.run()
        return process
    }

    private func bars(_ screen: Screen) -> [String] { screen.rowTexts.filter { $0.contains("█") || $0.contains("░") || $0.contains("_of_two") } }

    @Test("a resized terminal keeps its lines and gets bars of the new width, and none stays behind", arguments: [true, false])
    func resized(breaksAnew: Bool) throws {
        let program = try Program()
        try writeGraph(program)
        let terminal = try PseudoTerminal(width: 100, height: 12)
        let process = try start(program, terminal)
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        /// Whether a line that stays is followed by two bars of the screen's width and nothing else.
        func isRight(_ screen: Screen) -> Bool {
            let lines = screen.lines
            // The time left is known of nodes that ran before only.
            return lines.count == 3 && lines[0].hasPrefix("done before") && bars(screen).count == 2 && bars(screen).allSatisfy { $0.count < screen.width }
                && ["first_of_two_nodes", "second_of_two_nodes"].allSatisfy { name in lines.dropFirst().contains { $0.hasPrefix(name) } }
        }
        try #require(terminal.shows(while: process) { isRight($0) && bars($0).allSatisfy { $0.contains("0/3 steps") } }, "\(terminal.screen.lines)")
        // Narrower than the bars are, so that they are broken or cut; lower than all there is; wide again.
        for (step, size) in [(30, 12), (26, 4), (60, 8), (24, 12), (100, 12)].enumerated() {
            terminal.resize(width: size.0, height: size.1, breaksAnew: breaksAnew)
            try #require(terminal.shows(while: process, isRight), "\(size): \(terminal.screen.rowTexts)")
            // Whether it also is when the nodes go on.
            guard step == 1 || step == 3 else { continue }
            try program.write("", to: "step\((step + 1) / 2)")
            try #require(terminal.shows(while: process) { isRight($0) && bars($0).contains { $0.contains("█") } }, "\(size): \(terminal.screen.rowTexts)")
        }
        try program.write("", to: "step3")
        try #require(terminal.shows(while: process) { $0.lines.last?.contains("(run ") == true })
        process.waitUntilExit()
        terminal.look()
        let starts = ["done before", "done ", "done ", "3 ran, 0 cached"]
        let lines = terminal.screen.lines
        #expect(lines.count == starts.count && zip(lines, starts).allSatisfy { $0.hasPrefix($1) }, "\(lines)")
        #expect(process.terminationStatus == 0 && terminal.screen.unknown.isEmpty, "\(terminal.screen.unknown)")
    }

    @Test("a run that is ended at once, while its programs do not listen, leaves no bars and no programs")
    func endedAtOnce() throws {
        let program = try Program()
        try writeGraph(program)
        let terminal = try PseudoTerminal(width: 80, height: 24)
        let process = try start(program, terminal)
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        try #require(terminal.shows(while: process) { bars($0).count == 2 && bars($0).allSatisfy { $0.contains("steps") } }, "\(terminal.screen.lines)")
        // Programs that do not end when they are asked to; the second Ctrl-C does not wait for them.
        for _ in 0..<6000 where process.isRunning {
            process.interrupt()
            usleep(20_000)
        }
        for salt in 0..<2 {
            let number = try String(contentsOfFile: "\(program.folder)/number\(salt)", encoding: .utf8)
            for _ in 0..<6000 where FileManager.default.fileExists(atPath: "/proc/\(number)") { usleep(20_000) }
            #expect(!FileManager.default.fileExists(atPath: "/proc/\(number)"))
            if let number = pid_t(number) { kill(number, SIGKILL) }
        }
        terminal.look()
        try #require(!process.isRunning)
        #expect(process.terminationStatus == 130 && bars(terminal.screen).isEmpty && terminal.screen.lines.first?.hasPrefix("done before") == true, "\(terminal.screen.lines)")
    }
}
