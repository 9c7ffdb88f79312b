import Foundation
import Testing

/// A segment whose process is killed goes on at its last denoising step.
@Suite struct ResumeTests {
    private let words = ["run", "Graphs/example.yaml", "--to", "animate[0]", "--set", "animate.with.steps=8", "--quiet"]

    /// The digest of the segment's latent.
    private func digest(_ program: Program) throws -> String {
        let found = try program.run(["cache", "path", "Graphs/example.yaml", "animate[0]", "--set", "animate.with.steps=8"])
        let path = try #require(found.output.split(separator: "\n").first { $0.hasSuffix(".safetensors") }, "\(found.errors)")
        return (String(path) as NSString).lastPathComponent
    }

    /// How many steps the saved state has behind it; nil: there is none.
    private func step(_ program: Program) -> UInt64? {
        let folder = "\(program.folder)/.understudy/checkpoints"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where !name.contains(".") {
            guard let bytes = FileManager.default.contents(atPath: "\(folder)/\(name)"), bytes.count > 16 else { continue }
            return bytes[8..<16].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        return nil
    }

    @Test func aKilledSegmentGoesOnToTheSameBytes() throws {
        let plain = try Program()
        #expect(try plain.run(words).status == 0)
        let expected = try digest(plain)
        let program = try Program()
        var reached: [UInt64] = []
        // Killed after the first step that was saved since it was last started, again and again.
        for _ in 0..<10 {
            let process = Process()
            process.executableURL = URL(filePath: try Program.path())
            process.arguments = words
            process.currentDirectoryURL = URL(filePath: program.folder)
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            let before = step(program)
            try process.run()
            while process.isRunning, step(program) == before { Thread.sleep(forTimeInterval: 0.002) }
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            guard let now = step(program) else { break }
            reached.append(now)
        }
        #expect(reached == reached.sorted() && reached.first.map { $0 >= 1 } == true, "\(reached)")
        #expect(try program.run(words).status == 0)
        #expect(try digest(program) == expected)
        #expect(step(program) == nil)
    }
}
