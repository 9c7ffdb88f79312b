import Foundation
import NodeKit

extension GraphChecker {
    /// Checks `pins:`: values that files stand in for.
    mutating func checkPins(_ node: YAMLNode?) {
        guard let node, !node.isNull else { return }
        guard let mapping = node.mapping else {
            diagnostics.add(
                Diagnostic(
                    .shape, "'pins' is a mapping of ports to files, this is \(node.described)", at: node.range,
                    notes: [.init("write pins: { NODE.PORT: FILE }")]))
            return
        }
        for entry in mapping.entries where !entry.value.isNull {
            guard let text = entry.value.scalar?.text, !text.isEmpty else {
                diagnostics.add(
                    Diagnostic(.pin, "a pin takes the path of a file, this is \(entry.value.described)", at: entry.value.range))
                continue
            }
            guard let (place, type) = pinnedPort(entry) else { continue }
            let range = entry.value.range
            let path = Self.absolute(text, in: range.file)
            if options.checksFiles, !FileManager.default.fileExists(atPath: path) {
                let near = siblingName(of: path, written: text)
                diagnostics.add(
                    Diagnostic(
                        .fileMissing, "there is no file '\(text)' to pin '\(entry.key)' to" + didYouMean(near), at: range,
                        notes: near == nil ? [.init("'understudy inspect GRAPH \(entry.key) --export FILE' writes such a file")] : [],
                        fixIt: near.map { .init(range: range, replacement: $0) }))
            }
            pins.append(
                GraphPin(node: place.node, index: place.index, port: place.port, type: type, path: path, writtenPath: text, range: range))
        }
    }

    /// Reads `node.port` or `node[3].port`; nil when there is no such port, or it cannot be pinned.
    private mutating func pinnedPort(_ entry: YAMLMapping.Entry) -> (place: (node: String, index: Int?, port: String), type: PortType)? {
        let range = entry.keyRange
        let forms = Diagnostic.Note("write NODE.PORT, or NODE[NUMBER].PORT for one instance")
        guard let dot = entry.key.firstIndex(of: "."), case let port = String(entry.key[entry.key.index(after: dot)...]), !port.isEmpty
        else {
            diagnostics.add(Diagnostic(.pin, "'\(YAMLScalar(plain: entry.key).shortText)' names no port", at: range, notes: [forms]))
            return nil
        }
        var name = String(entry.key[..<dot])
        var index: Int?
        if name.hasSuffix("]"), let bracket = name.firstIndex(of: "[") {
            index = Int(name[name.index(after: bracket)...].dropLast())
            guard let index, index >= 0 else {
                diagnostics.add(Diagnostic(.pin, "'\(entry.key)' names no instance", at: range, notes: [forms]))
                return nil
            }
            name = String(name[..<bracket])
        }
        guard let place = draftIndex[name] else {
            let near = diagnostics.suggestion(for: name, among: drafts.lazy.map(\.id)).map { "\($0).\(port)" }
            diagnostics.add(
                Diagnostic(
                    .pin, "no node is called '\(YAMLScalar(plain: name).shortText)'" + didYouMean(near), at: range,
                    notes: near == nil ? [.init("the nodes are \(listed(drafts.map(\.id)))")] : [],
                    fixIt: near.map { .init(range: range, replacement: $0) }))
            return nil
        }
        guard let description = drafts[place].description else { return nil }
        guard let output = description.output(port) else {
            let near = diagnostics.suggestion(for: port, among: description.outputs.map(\.name)).map { "\(name).\($0)" }
            diagnostics.add(
                Diagnostic(
                    .pin, "'\(name)' (\(description.type)) has no output '\(YAMLScalar(plain: port).shortText)'" + didYouMean(near),
                    at: range, notes: near == nil ? [.init("its outputs are \(listed(description.outputs.map(\.name)))")] : []))
            return nil
        }
        if drafts[place].hasEach, index == nil {
            diagnostics.add(
                Diagnostic(
                    .pin, "'\(name)' has an 'each': its instances are pinned one by one", at: range,
                    notes: [.init("write '\(name)[0].\(port)'")]))
            return nil
        }
        if !drafts[place].hasEach, index != nil {
            diagnostics.add(
                Diagnostic(.pin, "'\(name)' has no instances: it has no 'each'", at: range, notes: [.init("write '\(name).\(port)'")]))
            return nil
        }
        guard output.type.element == nil else {
            diagnostics.add(Diagnostic(.pin, "'\(name).\(port)' is a \(output.type); a file holds one value", at: range))
            return nil
        }
        return ((name, index, port), output.type)
    }
}
