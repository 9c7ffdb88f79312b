import Foundation
import Testing

/// The programs of `Tests/Faults` in a short form; their README has the long one.
@Suite(.serialized) struct FaultTests {
    /// Runs a program of `Tests/Faults` with the path of the program under test.
    private func check(_ script: String, _ words: String...) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "\(Program.root)/Tests/Faults/\(script)", try Program.path()] + words
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let said = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(said)")
    }

    @Test func killsLoseNothing() throws { try check("kill.py", "6", "5", "--quick") }

    @Test("eight processes on one cache make each result once, though one of them is killed")
    func crowdsMakeEachResultOnce() throws { try check("crowd.py", "1", "--quick") }

    @Test("the index never names bytes that a loss of power could take")
    func rowsComeAfterTheirBytes() throws { try check("order.py", "--quick") }

    @Test("a run takes no more processor time than its threads may, FFmpeg's counted in")
    func threadsAreLimited() throws { try check("threads.py", "--quick") }
}
