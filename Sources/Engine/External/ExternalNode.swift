import Foundation
import Locking
import NodeKit
import Safetensors

/// A node that is a program of its own: made from a manifest, run by the protocol of PROTOCOL.md.
public struct ExternalNode: Sendable {
    public let manifest: ExternalManifest
    public let codeDigest: Digest
    /// Its program's files as they were when their digest was taken.
    private let codeStates: [String: FileState]
    private let environments: String

    /// - Parameter environments: The folder in which its environment is made; see ``CacheStore/environments(root:)``.
    public init(manifest: ExternalManifest, environments: String) throws {
        self.manifest = manifest
        self.environments = environments
        codeStates = try manifest.codeStates()
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
            case .error(let text), .answer(_, failure: let text?): said.withLock { $0.error = text }
            case .message(let text): context.log(text)
            case .answer(_, failure: nil): break
            case .garbled, nil: run?.log.write(line)
            }
        }
        let errors: @Sendable (String) -> Void = { line in
            run?.log.write(line)
            said.withLock { said in
                said.tail.append(Self.clipped(line, 400))
                if said.tail.count > 15 { said.tail.removeFirst() }
            }
        }
        try checkProgram()
        let words = try command()
        let file = URL(fileURLWithPath: request).standardizedFileURL.path
        func takeAll() throws {
            for port in description.outputs { try take(port, outputs[port.name] ?? "", into: invocation.outputs) }
            try checkProgram()
        }
        let answer: ExternalWorker.Answer
        if manifest.isWorker {
            let kind = "\(codeDigest.hex) \(context.threads)"
            answer = try (run?.workers ?? ExternalWorkers()).run(
                kind: kind, memory: run?.memory ?? 0,
                start: { try ExternalWorker(words + ["--worker"], folder: manifest.folder, environment: variables, memory: manifest.memoryLimit) },
                body: { worker in
                    run?.isProgram(worker.process.pid, false)
                    let answer = try worker.run(
                        request: file, cancellation: cancellation, timeout: manifest.timeout, grace: manifest.grace,
                        output: output, errors: errors)
                    // Looked at before the worker gets another request: one whose outputs are not there has failed, too.
                    if answer == .done { try takeAll() }
                    return answer
                })
        } else {
            let ending = try ExternalProgram.run(
                words + [file], folder: manifest.folder, environment: variables, cancellation: cancellation,
                timeout: manifest.timeout, grace: manifest.grace, memory: manifest.memoryLimit, started: { run?.isProgram($0, true) }, output: output, errors: errors)
            answer = ending == .exit(0) ? .done : .ended(ending)
            if answer == .done { try takeAll() }
        }
        let (message, tail) = said.withLock { ($0.error, $0.tail) }
        switch answer {
        case .done: break
        case .failed(let text): throw NodeError(Self.clipped(text, 4000))
        case .ended(let ending): throw failure(ending, message, tail)
        case .unusable(let what): throw NodeError("\(what); it was ended, see PROTOCOL.md, «Workers»" + Self.indented(tail))
        }
    }

    /// What is made by a program that was changed meanwhile must not be cached as made by the one that the graph was read with.
    private func checkProgram() throws {
        let now = try manifest.codeStates()
        guard now != codeStates else { return }
        let name = Set(now.keys).union(codeStates.keys).sorted().first { now[$0] != codeStates[$0] } ?? ""
        throw NodeError(
            "its program changed while the graph ran ('\(manifest.folder)/\(name)'); run again. A node does not write into its own folder: it has 'scratch' and 'checkpoint'")
    }

    private func take(_ port: NodeDescription.Port, _ path: String, into sink: OutputSink) throws {
        guard try sink.own(port.name, path: path) else {
            throw NodeError("the program ended well, but did not write its output '\(port.name)' to '\(path)'")
        }
        let artifact = Artifact(type: port.type, path: path, digest: Digest.of(""))
        do {
            if port.type != .file { try check(artifact.open(), is: port.type) }
            if port.type != .model { _ = try ValueCatalog.open(artifact) }
        } catch {
            throw NodeError("the program's output '\(port.name)' is no '\(port.type)': \(error)")
        }
        try sink.adopt(port.name, path: path, type: port.type)
    }

    /// What Python's reader would refuse must not be cached: gaps, overlaps, bytes of no tensor. A model says what it is by its configuration.
    private func check(_ file: SafetensorsFile, is type: PortType) throws {
        if type != .model, file.metadata[Artifact.typeKey] != type.name {
            throw NodeError("its metadata says \(file.metadata[Artifact.typeKey].map { "'\($0)'" } ?? "nothing") under '\(Artifact.typeKey)'")
        }
        var end = 0
        for info in file.tensors.values.sorted(by: { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }) {
            guard info.range.lowerBound == end else { throw NodeError("tensor '\(info.name)' begins at byte \(info.range.lowerBound) of the data, not at \(end) where the one before ends") }
            end = info.range.upperBound
        }
        guard file.dataOffset + end == file.file.byteCount else {
            throw NodeError("\(file.file.byteCount - file.dataOffset - end) bytes of its data belong to no tensor")
        }
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
        if let message { return NodeError(Self.clipped(message, 4000) + limit) }
        let end = tail.isEmpty ? "; it wrote nothing to standard error" : Self.indented(tail)
        let answer = manifest.isWorker ? " without an answer" : ""
        return NodeError("'\(manifest.command.joined(separator: " "))' \(how)\(answer)\(limit)\(end)")
    }

    private static func indented(_ lines: [String]) -> String { lines.isEmpty ? "" : ":\n  " + lines.joined(separator: "\n  ") }

    /// Text of at most so many characters; the log has all of it.
    private static func clipped(_ text: String, _ count: Int) -> String { text.count > count ? "\(text.prefix(count))…" : text }
}
