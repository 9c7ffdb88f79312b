import Foundation
import Locking
import NodeKit
import Safetensors

/// A node that is a program of its own: made from a manifest, run by the protocol of PROTOCOL.md.
public struct ExternalNode: Sendable {
    public let manifest: ExternalManifest
    public let codeDigest: Digest
    private let environments: String

    /// - Parameter environments: The folder in which its environment is made; see ``CacheStore/environments(root:)``.
    public init(manifest: ExternalManifest, environments: String) throws {
        self.manifest = manifest
        self.environments = environments
        codeDigest = try manifest.codeDigest()
    }

    /// Its environment; nil when it needs none.
    public var environment: PythonEnvironment? { manifest.python.map { PythonEnvironment($0, folder: environments) } }

    /// What the engine runs.
    public var definition: NodeDefinition {
        NodeDefinition(description: manifest.description, codeDigest: codeDigest) { try run($0) }
    }

    /// All external nodes in folders of node folders: `FOLDER/node.yaml` and `FOLDER/*/node.yaml`, two levels deep.
    ///
    /// - Returns: The nodes, and what was wrong with manifests that do not read; those are left out.
    public static func discover(in folders: [String], environments: String) -> (nodes: [ExternalNode], problems: [String]) {
        var nodes: [ExternalNode] = []
        var problems: [String] = []
        var seen: Set<String> = []
        func look(_ folder: String, depth: Int) {
            let path = "\(folder)/node.yaml"
            if FileManager.default.fileExists(atPath: path) {
                guard seen.insert(URL(fileURLWithPath: path).resolvingSymlinksInPath().path).inserted else { return }
                do {
                    let node = try ExternalNode(manifest: ExternalManifest(file: path), environments: environments)
                    if let other = nodes.first(where: { $0.manifest.description.type == node.manifest.description.type }) {
                        problems.append("\(path): node type '\(node.manifest.description.type)' is already in \(other.manifest.folder)")
                    } else {
                        nodes.append(node)
                    }
                } catch {
                    problems.append("\(error)")
                }
            }
            guard depth > 0 else { return }
            for name in ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted() where !name.hasPrefix(".") {
                var isFolder: ObjCBool = false
                let child = "\(folder)/\(name)"
                if FileManager.default.fileExists(atPath: child, isDirectory: &isFolder), isFolder.boolValue {
                    look(child, depth: depth - 1)
                }
            }
        }
        for folder in folders { look(folder, depth: 2) }
        return (nodes, problems)
    }

    // MARK: - Running

    private func run(_ invocation: NodeInvocation) throws {
        let context = invocation.context
        let run = NodeRun.current
        let cancellation = run?.cancellation ?? Cancellation()
        if let environment, !environment.isComplete {
            try environment.install(cancellation: cancellation) { context.log($0) }
        }
        let description = manifest.description
        var outputs: [String: String] = [:]
        for port in description.outputs {
            let suffix = port.type == .file ? manifest.suffixes[port.name] ?? "bin" : "safetensors"
            outputs[port.name] = try invocation.outputs.path(for: port.name, extension: suffix)
        }
        let request = "\(context.scratch)/../request.json"
        try write(invocation, outputs, checkpoint: run?.checkpoint, to: request)

        var variables = ProcessInfo.processInfo.environment
        for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] { variables[name] = "\(context.threads)" }
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        // The same inputs must give the same bytes.
        variables["PYTHONHASHSEED"] = "0"
        variables["PYTHONUNBUFFERED"] = "1"
        let said = Locked((error: String?.none, tail: [String]()))
        let output: @Sendable (String) -> Void = { line in
            switch ExternalMessage(line) {
            case .progress(let done, let total, let unit): context.progress(done, of: total, unit)
            case .error(let text), .failed(let text): said.withLock { $0.error = text }
            case .message(let text): context.log(text)
            case .done: break
            case nil: run?.log.write(line)
            }
        }
        let errors: @Sendable (String) -> Void = { line in
            run?.log.write(line)
            said.withLock { said in
                said.tail.append(line)
                if said.tail.count > 15 { said.tail.removeFirst() }
            }
        }
        let words = try command()
        let file = URL(fileURLWithPath: request).standardizedFileURL.path
        let answer: ExternalWorker.Answer
        if manifest.isWorker {
            let kind = "\(codeDigest.hex) \(context.threads)"
            answer = try (run?.workers ?? ExternalWorkers()).run(
                kind: kind,
                start: { try ExternalWorker(words + ["--worker"], folder: manifest.folder, environment: variables, memory: manifest.memoryLimit) },
                body: { worker in
                    run?.isProgram(worker.process.pid, false)
                    return try worker.run(
                        request: file, cancellation: cancellation, timeout: manifest.timeout, grace: manifest.grace,
                        output: output, errors: errors)
                })
        } else {
            let ending = try ExternalProgram.run(
                words + [file], folder: manifest.folder, environment: variables, cancellation: cancellation,
                timeout: manifest.timeout, grace: manifest.grace, memory: manifest.memoryLimit, started: { run?.isProgram($0, true) }, output: output, errors: errors)
            answer = ending == .exit(0) ? .done : .ended(ending)
        }
        let (message, tail) = said.withLock { ($0.error, $0.tail) }
        switch answer {
        case .done: break
        case .failed(let text): throw NodeError(text)
        case .ended(let ending): throw failure(ending, message, tail)
        }
        for port in description.outputs { try take(port, outputs[port.name] ?? "", into: invocation.outputs) }
    }

    private func take(_ port: NodeDescription.Port, _ path: String, into sink: OutputSink) throws {
        guard FileState(path: path) != nil else {
            throw NodeError("the program ended well, but did not write its output '\(port.name)' to '\(path)'")
        }
        let artifact = Artifact(type: port.type, path: path, digest: Digest.of(""))
        do {
            if port.type == .model { _ = try artifact.open() } else { _ = try ValueCatalog.open(artifact) }
        } catch {
            throw NodeError("the program's output '\(port.name)' is no '\(port.type)': \(error)")
        }
        try sink.adopt(port.name, path: path, type: port.type)
    }

    private func write(
        _ invocation: NodeInvocation, _ outputs: [String: String], checkpoint: String?, to path: String
    ) throws {
        let description = manifest.description
        let parameters = Dictionary(
            uniqueKeysWithValues: description.parameters.map { ($0.name, invocation.parameters[$0.name] ?? $0.defaultValue) })
        var request: [String: ParameterLiteral] = [
            "node": .string(description.type.name),
            "version": .integer(description.version),
            "parameters": .map(parameters),
            "inputs": .map(invocation.inputs.filter { !$0.value.isEmpty }.mapValues { .list($0.map { .string($0.path) }) }),
            "outputs": .map(outputs.mapValues { .string($0) }),
            "scratch": .string(invocation.context.scratch),
            "threads": .integer(invocation.context.threads),
        ]
        if let checkpoint { request["checkpoint"] = .string(checkpoint) }
        try Data(ParameterLiteral.map(request).canonical.utf8).write(to: URL(fileURLWithPath: path))
    }

    private func command() throws -> [String] {
        var words = manifest.command
        if words[0] == "python" || words[0] == "python3" {
            words[0] = try environment?.interpreter ?? PythonEnvironment.interpreter(for: nil)
        }
        return words.map { word in
            let path = "\(manifest.folder)/\(word)"
            return !word.hasPrefix("/") && FileState(path: path) != nil ? path : word
        }
    }

    private func failure(_ ending: ProcessGroup.Ending, _ message: String?, _ tail: [String]) -> NodeError {
        let how = switch ending {
        case .exit(let status): "ended with status \(status)"
        case .signal(let number): "was ended by signal \(number) (\(String(cString: strsignal(number))))"
        }
        let limit = manifest.memoryLimit.map { " (it may have \($0 >> 20) MiB of memory: 'memory_limit' in its node.yaml)" } ?? ""
        if let message { return NodeError(message + limit) }
        let end = tail.isEmpty ? "; it wrote nothing to standard error" : ":\n  " + tail.joined(separator: "\n  ")
        return NodeError("'\(manifest.command.joined(separator: " "))' \(how)\(limit)\(end)")
    }
}

/// A line that an external node writes to standard output.
enum ExternalMessage: Equatable {
    case progress(done: Int, total: Int?, unit: String)
    case message(String)
    case error(String)
    /// A worker's answers to a request.
    case done
    case failed(String)

    private struct Line: Decodable {
        struct Progress: Decodable {
            var done: Double
            var total: Double?
            var unit: String?
        }
        var progress: Progress?
        var message: String?
        var error: String?
        var done: Bool?
        var failed: String?
    }

    /// Nil when the line is no message: then it is a line of the log.
    init?(_ line: String) {
        guard line.utf8.first == UInt8(ascii: "{"),
            let line = try? JSONDecoder().decode(Line.self, text: Data(line.utf8))
        else { return nil }
        if let progress = line.progress {
            guard let done = Int(exactly: progress.done.rounded()) else { return nil }
            self = .progress(done: done, total: progress.total.flatMap { Int(exactly: $0.rounded()) }, unit: progress.unit ?? "")
        } else if let error = line.error {
            self = .error(error)
        } else if let failed = line.failed {
            self = .failed(failed)
        } else if line.done == true {
            self = .done
        } else if let message = line.message {
            self = .message(message)
        } else {
            return nil
        }
    }
}
