import Foundation
import Locking
import NodeKit
import WholeFiles

/// A Python environment for a set of requirements, shared by the nodes that have the same.
///
/// Paths are baked into an environment, so it is made in place; the marker `.complete` is written last, and an
/// environment without it is made again.
public struct PythonEnvironment: Sendable {
    public let python: ExternalManifest.Python
    /// The environment's folder.
    public let folder: String
    private let lockFile: String

    /// - Parameter environments: The folder that holds all environments; made when it is needed.
    public init(_ python: ExternalManifest.Python, folder environments: String) {
        self.python = python
        let text = "understudy python 1\n\(python.version ?? "")\n"
            + (["no_deps"] + python.noDependencies + ["requirements"] + python.requirements).joined(separator: "\n")
        let name = String(Digest.of(text).hex.prefix(16))
        folder = "\(environments)/\(name)"
        lockFile = "\(environments)/lock"
    }

    /// The interpreter.
    public var interpreter: String { "\(folder)/bin/python" }
    public var isComplete: Bool { FileManager.default.fileExists(atPath: "\(folder)/.complete") }

    /// Makes the environment unless it is there; waits while another process makes it.
    ///
    /// - Parameters:
    ///   - report: Gets what is going on, a line at a time.
    ///   - cancellation: Stops it.
    /// - Throws: ``NodeError`` with the end of pip's output when it cannot be made.
    public func install(
        cancellation: Cancellation = .init(), report: @escaping @Sendable (String) -> Void
    ) throws {
        if isComplete { return }
        let environments = (folder as NSString).deletingLastPathComponent
        do {
            try FileManager.default.createDirectory(atPath: environments, withIntermediateDirectories: true)
        } catch {
            throw StoreError("cannot make the folder '\(environments)': \(SystemReason.text(of: error, withPath: false)); choose another cache with --cache")
        }
        var lock: KeyLock?
        while true {
            lock = try KeyLock.tryLock((folder as NSString).lastPathComponent, file: lockFile)
            if lock != nil { break }
            if cancellation.isCancelled { throw CancellationError() }
            Thread.sleep(forTimeInterval: 0.2)
        }
        defer { withExtendedLifetime(lock) {} }
        if isComplete { return }
        try? FileManager.default.removeItem(atPath: folder)
        report("making a Python environment (once): \((python.noDependencies + python.requirements).joined(separator: ", "))")
        let host = try Self.interpreter(for: python.version)
        try run([host, "-m", "venv", folder], cancellation, report)
        let pip = [interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        if !python.noDependencies.isEmpty { try run(pip + ["--no-deps"] + python.noDependencies, cancellation, report) }
        if !python.requirements.isEmpty { try run(pip + python.requirements, cancellation, report) }
        guard FileManager.default.createFile(atPath: "\(folder)/.complete", contents: nil) else {
            throw StoreError.system("cannot write '\(folder)/.complete'")
        }
        report("the Python environment is ready")
    }

    private func run(_ command: [String], _ cancellation: Cancellation, _ report: @escaping @Sendable (String) -> Void) throws {
        let tail = Locked<[String]>([])
        let note: @Sendable (String) -> Void = { line in
            tail.withLock { lines in
                lines.append(line)
                if lines.count > 12 { lines.removeFirst() }
            }
            report(line)
        }
        let ending = try ExternalProgram.run(
            command, folder: "/", environment: ProcessInfo.processInfo.environment, cancellation: cancellation,
            timeout: nil, output: note, errors: note)
        guard ending == .exit(0) else {
            let lines = tail.withLock { $0 }.joined(separator: "\n  ")
            throw NodeError("making the Python environment failed at '\(command.joined(separator: " "))':\n  \(lines)")
        }
    }

    /// A `python3` of `PATH` that satisfies `>=3.10`, `3.11`, `==3.11` or `>=3.9,<3.13`.
    static func interpreter(for version: String?) throws -> String {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        let names = ["python3"] + (8...15).reversed().map { "python3.\($0)" }
        var found: [String] = []
        for name in names {
            for folder in path.split(separator: ":") {
                let candidate = "\(folder)/\(name)"
                guard FileManager.default.isExecutableFile(atPath: candidate) else { continue }
                guard let version else { return candidate }
                let said = Locked<[String]>([])
                let code = "import sys; print('%d.%d' % sys.version_info[:2])"
                let ending = try? ExternalProgram.run(
                    [candidate, "-c", code], folder: "/", environment: ProcessInfo.processInfo.environment,
                    cancellation: Cancellation(), timeout: 20, output: { line in said.withLock { $0.append(line) } },
                    errors: { _ in })
                guard ending == .exit(0), let has = said.withLock({ $0.first }) else { continue }
                if satisfies(has, version) { return candidate }
                found.append(has)
                break
            }
        }
        let others = found.isEmpty ? "there is none in PATH" : "PATH has \(found.joined(separator: ", "))"
        throw NodeError("Python \(version ?? "3") is needed, \(others); install it (apt-get install python3 python3-venv)")
    }

    static func satisfies(_ version: String, _ wanted: String) -> Bool {
        func numbers(_ text: some StringProtocol) -> [Int] { text.split(separator: ".").compactMap { Int($0) } }
        let has = numbers(version)
        return wanted.split(separator: ",").allSatisfy { part in
            let text = part.filter { $0 != " " }
            let sign = text.prefix { !$0.isNumber }
            let want = Array(numbers(text.dropFirst(sign.count)).prefix(2))
            let cut = Array(has.prefix(want.count))
            switch sign {
            case ">=": return !has.lexicographicallyPrecedes(want)
            case ">": return want.lexicographicallyPrecedes(cut)
            case "<": return has.lexicographicallyPrecedes(want)
            case "<=": return !want.lexicographicallyPrecedes(cut)
            default: return cut == want
            }
        }
    }
}
