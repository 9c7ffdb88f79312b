import Foundation
import Testing

/// Ctrl-C, and what a supervisor sends, while a program of an external node runs.
@Suite struct StopTests {
    @Test("a stopped run ends its programs, even those that do not listen, with their children; it keeps what is done", arguments: [SIGINT, SIGTERM])
    func stops(signal: Int32) throws {
        let program = try Program()
        try program.write(
            """
            type: t.program
            version: 1
            summary: Makes a text, or never ends.
            inputs: { after: { type: file, optional: true } }
            outputs: { out: { type: file, extension: txt } }
            parameters: { hangs: { kind: bool, default: false, help: Never ends. } }
            command: [python3, program.py]
            grace: 0.2
            """, to: "mine/node.yaml")
        try program.write(
            """
            import json, os, signal, subprocess, sys, time
            request = json.load(open(sys.argv[1]))
            if request["parameters"]["hangs"]:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                children = [subprocess.Popen(["sleep", "600"], start_new_session=away).pid for away in (False, True)]
                with open("../numbers.part", "w") as file: file.write("%d %d %d" % (os.getpid(), *children))
                os.rename("../numbers.part", "../numbers")
                time.sleep(600)
            open(request["outputs"]["out"], "w").write("done")
            """, to: "mine/program.py")
        try program.write(
            """
            understudy: 1
            name: stopped
            nodes:
              quick: { type: t.program }
              hang: { type: t.program, in: { after: quick.out }, with: { hangs: true } }
              never: { type: t.program, in: { after: hang.out } }  # once it ends: what hang does then
            """, to: "stopped.yaml")
        let (output, errors) = (try program.file("output"), try program.file("errors"))
        let process = try program.process(["run", "stopped.yaml", "--nodes", "mine"], output: output.handle, errors: errors.handle)
        try process.run()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        while process.isRunning, !FileManager.default.fileExists(atPath: "\(program.folder)/numbers") { usleep(20_000) }
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
        let said = output.text + errors.text
        #expect(process.terminationStatus == 130 && said.contains("1 ran, 0 cached, 1 stopped, 1 skipped") && said.contains("interrupted;"), "\(said)")
        for number in try String(contentsOfFile: "\(program.folder)/numbers", encoding: .utf8).split(separator: " ") {
            let stat = (try? String(contentsOfFile: "/proc/\(number)/stat", encoding: .utf8)) ?? ""
            #expect(stat.isEmpty || stat.contains(") Z "), "\(stat)")
        }
        #expect(try program.run(["runs", "show", "--json"]).output.contains("\"cancelled\""))
        let again = try program.run(["run", "stopped.yaml", "--nodes", "mine", "--set", "hang.with.hangs=false"])
        #expect(again.status == 0 && again.output.contains("1 ran, 2 cached"), "\(again.output)\(again.errors)")
        #expect(try program.run(["cache", "verify"]).status == 0)
    }
}
