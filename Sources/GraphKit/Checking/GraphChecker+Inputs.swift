import Foundation
import NodeKit

extension GraphChecker {
    /// Checks `inputs:`.
    mutating func checkInputs(_ node: YAMLNode?) {
        guard let node, !node.isNull else { return }
        guard let mapping = node.mapping else {
            diagnostics.add(
                Diagnostic(
                    .shape, "'inputs' is a mapping, this is \(node.described)", at: node.range,
                    notes: [.init("write inputs: { NAME: { type: video, default: FILE } }")]))
            return
        }
        for entry in mapping.entries {
            checkName(entry, of: "input")
            inputIndex[entry.key] = inputs.count
            inputs.append(checkInput(entry))
        }
    }

    private mutating func checkInput(_ entry: YAMLMapping.Entry) -> GraphInput {
        let kinds = GraphInput.Kind.allCases.map(\.rawValue)
        var kind = GraphInput.Kind.file
        let mapping = entry.value.mapping ?? YAMLMapping()
        if entry.value.mapping == nil {
            diagnostics.add(
                Diagnostic(
                    .shape, "input '\(entry.key)' is a mapping, this is \(entry.value.described)", at: entry.value.range,
                    notes: [.init("write \(entry.key): { type: video, default: FILE }")]))
        } else if let type = mapping["type"] {
            if let known = type.scalar.flatMap({ GraphInput.Kind(rawValue: $0.text) }) {
                kind = known
            } else {
                let near = type.scalar.flatMap { diagnostics.suggestion(for: $0.text, among: kinds) }
                let found = type.scalar.map { "'\($0.shortText)'" } ?? type.described
                diagnostics.add(
                    Diagnostic(
                        .inputType, "a graph input cannot be of type \(found)" + didYouMean(near), at: type.range,
                        notes: near == nil ? [.init("the types are \(listed(kinds))")] : [],
                        fixIt: near.map { .init(range: type.range, replacement: $0) }))
            }
        } else {
            diagnostics.add(
                Diagnostic(
                    .missingKey, "input '\(entry.key)' has no type", at: entry.keyRange,
                    notes: [.init("the types are \(listed(kinds))")]))
        }
        for key in mapping.entries where !GraphKeys.input.contains(key.key) {
            unknownKey(key, of: "an input", known: GraphKeys.input)
        }
        var written: String?
        var path: String?
        var range = entry.keyRange
        if let value = mapping["default"], !value.isNull {
            if let text = value.scalar?.text, !text.isEmpty {
                written = text
                path = Self.absolute(text, in: value.range.file)
                range = value.range
            } else {
                diagnostics.add(
                    Diagnostic(.shape, "'default' of an input is a path, this is \(value.described)", at: value.range))
            }
        }
        return GraphInput(
            name: entry.key, kind: kind, path: path, writtenPath: written, help: mapping["help"]?.scalar?.text, range: range)
    }

    /// A path of a file's text, made absolute from that file's folder. Nothing in it is expanded.
    static func absolute(_ path: String, in file: SourceFile) -> String {
        let url = path.hasPrefix("/") ? URL(fileURLWithPath: path) : file.directory.appendingPathComponent(path)
        return url.standardizedFileURL.path
    }

    /// Checks that inputs which something uses have a file, and that it is there.
    mutating func checkInputFiles() {
        for input in inputs where usedInputs.contains(input.name) {
            guard let path = input.path else {
                if options.requiresInputs {
                    diagnostics.add(
                        Diagnostic(
                            .inputMissing, "input '\(input.name)' has no file", at: input.range,
                            notes: [.init("give one with --input \(input.name)=FILE, or write a 'default:'")]))
                }
                continue
            }
            if options.checksFiles { checkFile(path, of: input) }
        }
    }

    private mutating func checkFile(_ path: String, of input: GraphInput) {
        var isDirectory: ObjCBool = false
        let written = input.writtenPath ?? path
        if !FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) {
            let better = siblingName(of: path, written: written)
            var notes: [Diagnostic.Note] = []
            if better == nil {
                let start = written.hasPrefix("/") ? "" : Self.startOfPaths(input.range.file)
                notes.append(.init("give another with --input \(input.name)=FILE, or mend the path\(start)"))
            }
            diagnostics.add(
                Diagnostic(
                    .fileMissing, "there is no file '\(written)' for input '\(input.name)'" + didYouMean(better),
                    at: input.range, notes: notes, fixIt: better.map { .init(range: input.range, replacement: $0) }))
        } else if isDirectory.boolValue, [.image, .video, .audio].contains(input.kind) {
            diagnostics.add(
                Diagnostic(
                    .fileMissing, "'\(written)' is a folder; input '\(input.name)' takes one \(input.kind.rawValue) file",
                    at: input.range))
        }
    }

    /// A file that is there whose name is near to one that is not, as the user would write it.
    mutating func siblingName(of path: String, written: String) -> String? {
        let url = URL(fileURLWithPath: path)
        let siblings = (try? FileManager.default.contentsOfDirectory(atPath: url.deletingLastPathComponent().path)) ?? []
        return diagnostics.suggestion(for: url.lastPathComponent, among: siblings.sorted()).map { name in
            let folder = (written as NSString).deletingLastPathComponent
            return folder.isEmpty ? name : (folder as NSString).appendingPathComponent(name)
        }
    }

    private static func startOfPaths(_ file: SourceFile) -> String {
        file.origin == .commandLine ? " (it starts from the current folder)" : " (it starts from the folder of '\(file.name)')"
    }
}
