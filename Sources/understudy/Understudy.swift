import ArgumentParser
import Dispatch
import Engine
import Foundation
import NodeCatalog
import Safetensors

@main
struct Understudy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "understudy",
        abstract: "Gives a picture somebody else's performance: runs graphs of typed nodes, with every intermediate cached.",
        discussion: "Exit status: 0 done, 1 a node failed, 2 the graph or the command line is wrong, 130 interrupted.",
        version: "0.1.0",
        groupedSubcommands: [
            CommandGroup(name: "Graphs:", subcommands: [Run.self, Plan.self, Validate.self, GraphCommand.self]),
            CommandGroup(name: "Results:", subcommands: [Inspect.self, Runs.self, Report.self, Cache.self]),
            CommandGroup(name: "Nodes and models:", subcommands: [Nodes.self, Schema.self, Weights.self, ModelCommand.self]),
        ])

    static func main() {
        StandardStreams.prepare()
        CutFiles.report()
        do {
            try checkArguments()
            try OpenFiles.prepare()
            try Threads.prepare()
            // Most commands ask for them in a moment: they are made while the command line is read. Not before: Dispatch opens files.
            DispatchQueue.global(qos: .userInitiated).async { _ = NodeCatalog.definitions }
            var command = try parseAsRoot()
            try command.run()
            if !StandardStreams.isWritten { endUnwritten() }
        } catch let failure as Failure {
            if !failure.message.isEmpty { printError(failure.message) }
            Foundation.exit(failure.status)
        } catch {
            // Help and version go out with 0; a wrong command line exits with 2, as a wrong graph does.
            let status = exitCode(for: error)
            if status.isSuccess || status == .validationFailure || error is CleanExit {
                let text = fullMessage(for: error)
                if status.isSuccess { print(text) } else { printError(text) }
                if status.isSuccess, !StandardStreams.isWritten { endUnwritten() }
                Foundation.exit(status.isSuccess ? 0 : 2)
            }
            printError("error: \(StoreError.text(error))")
            Foundation.exit(1)
        }
    }

    /// - Throws: ``Failure`` when a word is not UTF-8: text of this language cannot hold it, and would name another file.
    private static func checkArguments() throws {
        for index in 1..<max(Int(CommandLine.argc), 1) {
            guard let word = CommandLine.unsafeArgv[index], String(validatingCString: word) == nil else { continue }
            throw Failure.usage("error: '\(Terminal.plain(String(cString: word)))' is not UTF-8; rename the file or folder")
        }
    }

    private static func endUnwritten() -> Never {
        printError("error: not all that was printed could be written to standard output; is its disk full?")
        Foundation.exit(1)
    }
}

/// Ends the program with a message and an exit status.
struct Failure: Error {
    let status: Int32
    let message: String

    static func node(_ message: String) -> Failure { Failure(status: 1, message: message) }
    static func usage(_ message: String) -> Failure { Failure(status: 2, message: message) }
}

func printError(_ text: String) {
    // Where it cannot be written there is nobody to be told.
    try? FileHandle.standardError.write(contentsOf: Data((text.hasSuffix("\n") ? text : text + "\n").utf8))
}
