import Foundation

extension YAMLNode {
    /// Applies `--set face.with.crop=256` to a graph's tree.
    ///
    /// The path starts at a node's id, or at a top-level key (`inputs`, `outputs`, `nodes`, `name`). `null` removes. Paths in the value start from
    /// the current folder.
    mutating func apply(setting argument: String, diagnostics: inout Diagnostics) {
        let file = SourceFile.commandLine(option: "--set", argument: argument)
        let range = file.wholeRange
        let usage = Diagnostic.Note("write --set NODE.with.PARAMETER=VALUE, for instance --set face.with.crop=256")
        guard let equals = argument.firstIndex(of: "=") else {
            diagnostics.add(Diagnostic(.settingSyntax, "this sets nothing: there is no '='", at: range, notes: [usage]))
            return
        }
        var path = argument[..<equals].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard !path.contains("") else {
            diagnostics.add(Diagnostic(.settingSyntax, "'\(argument[..<equals])' is not a path", at: range, notes: [usage]))
            return
        }
        if !["inputs", "outputs", "nodes", "name"].contains(path[0]) { path.insert("nodes", at: 0) }
        guard checkTarget(path, at: range, usage: usage, diagnostics: &diagnostics) else { return }

        let text = argument[argument.index(after: equals)...]
        let isWholeMapping = path[0] == "nodes" && path.count == 3
        guard let value = Self.value(text, of: argument[...equals], isWholeMapping: isWholeMapping, at: range, diagnostics: &diagnostics) else { return }
        set(path[...], to: value, at: range)
    }

    /// What `--set` is given: a list, a mapping or a quoted text of YAML, by how it begins; else one plain scalar to the end, so that a prompt may
    /// hold ` #` and `: ` as people write them. Nothing is an empty text.
    ///
    /// - Parameter isWholeMapping: The value is all of a node's `with` or `in`, which may be in block style: `face.with=crop: 256`.
    private static func value(
        _ argument: Substring, of setting: Substring, isWholeMapping: Bool, at range: SourceRange, diagnostics: inout Diagnostics
    ) -> YAMLNode? {
        let text = String(argument).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let first = text.first, isWholeMapping || "[{\"'".contains(first) else {
            return YAMLNode(.scalar(text.isEmpty ? YAMLScalar(text: "", value: .string, isPlain: true) : YAMLScalar(plain: text)), at: range)
        }
        let file = SourceFile(
            name: range.file.name, directory: range.file.directory, bytes: Array(text.utf8), origin: .commandLine, prefix: "--set \(setting)")
        var found = Diagnostics()
        let parsed = YAMLParser.parse(file, diagnostics: &found)
        // "Stay," she said: quotes that are not around the whole are a text's own.
        if !found.all.isEmpty, "\"'".contains(first) { return YAMLNode(.scalar(YAMLScalar(plain: text)), at: range) }
        for var diagnostic in found.all {
            if "[{".contains(first) { diagnostic.notes.append(.init("a text that begins with '\(first)' is written in quotes: '\"\(first)…\"'")) }
            diagnostics.add(diagnostic)
        }
        return found.all.isEmpty ? parsed?.relocated(to: range) : nil
    }

    /// Applies `--input driving=clip.mp4`: the file of a graph input.
    mutating func apply(input argument: String, diagnostics: inout Diagnostics) {
        let range = SourceFile.commandLine(option: "--input", argument: argument).wholeRange
        guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex,
            argument.index(after: equals) < argument.endIndex
        else {
            diagnostics.add(
                Diagnostic(
                    .settingSyntax, "this sets no input", at: range,
                    notes: [.init("write --input NAME=FILE, for instance --input driving=clip.mp4")]))
            return
        }
        let name = String(argument[..<equals])
        let inputs = mapping?["inputs"]?.mapping
        guard inputs?.entry(name) != nil else {
            diagnostics.unknownInput(name, known: inputs?.keys ?? [], at: range)
            return
        }
        let text = String(argument[argument.index(after: equals)...])
        let value = YAMLNode(.scalar(YAMLScalar(text: text, value: .string, isPlain: false)), at: range)
        set(["inputs", name, "default"], to: value, at: range)
    }

    /// Applies `--pin skeleton.pose=fixed.safetensors`: a file in place of what a port gives.
    mutating func apply(pin argument: String, diagnostics: inout Diagnostics) {
        let range = SourceFile.commandLine(option: "--pin", argument: argument).wholeRange
        guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex,
            argument.index(after: equals) < argument.endIndex
        else {
            diagnostics.add(
                Diagnostic(
                    .settingSyntax, "this pins nothing", at: range,
                    notes: [.init("write --pin NODE.PORT=FILE, for instance --pin skeleton.pose=fixed.safetensors")]))
            return
        }
        let text = String(argument[argument.index(after: equals)...])
        let value = YAMLNode(.scalar(YAMLScalar(text: text, value: .string, isPlain: false)), at: range)
        set(["pins", String(argument[..<equals])], to: value, at: range)
    }

    /// Says what is wrong with a path before a half-made node is: `--set` changes nodes, it does not make them.
    private func checkTarget(
        _ path: [String], at range: SourceRange, usage: Diagnostic.Note, diagnostics: inout Diagnostics
    ) -> Bool {
        if path[0] == "inputs", path.count >= 2 {
            let inputs = mapping?["inputs"]?.mapping
            guard inputs?.entry(path[1]) != nil else {
                diagnostics.unknownInput(path[1], known: inputs?.keys ?? [], at: range)
                return false
            }
            return true
        }
        guard path[0] == "nodes" else { return true }
        guard path.count >= 2 else {
            diagnostics.add(Diagnostic(.settingTarget, "this would replace all nodes", at: range, notes: [usage]))
            return false
        }
        let nodes = mapping?["nodes"]?.mapping
        guard let node = nodes?[path[1]] else {
            let near = diagnostics.suggestion(for: path[1], among: nodes?.keys ?? [])
            diagnostics.add(
                Diagnostic(
                    .settingTarget, "no node is called '\(path[1])'" + didYouMean(near), at: range, notes: near == nil ? [usage] : []))
            return false
        }
        guard path.count >= 3, GraphKeys.node.contains(path[2]) else {
            if path.count == 2 {
                diagnostics.add(
                    Diagnostic(.settingTarget, "'\(path[1])' is a whole node: say what of it to set", at: range, notes: [usage]))
                return false
            }
            let near = diagnostics.suggestion(for: path[2], among: GraphKeys.node)
            let isParameter = near == nil && path.count == 3 && node.mapping != nil
            let remedy = isParameter ? "\(path[1]).with.\(path[2])" : near.map { "\(path[1]).\($0)" }
            diagnostics.add(
                Diagnostic(
                    .settingTarget, "a node has no key '\(path[2])'" + didYouMean(remedy), at: range,
                    notes: remedy == nil ? [usage] : []))
            return false
        }
        return true
    }

    /// Puts a value at a path, making mappings on the way; null removes what is there.
    private mutating func set(_ path: ArraySlice<String>, to value: YAMLNode, at range: SourceRange) {
        guard let key = path.first else { return }
        var mapping = self.mapping ?? YAMLMapping()
        // Taken out while it changes, so that a graph of ten thousand nodes is not copied once per setting's level.
        content = .scalar(YAMLScalar(plain: ""))
        defer { content = .mapping(mapping) }
        let dotted = path.joined(separator: ".")
        if path.count > 1, mapping.entry(dotted) != nil {
            // `guidance.motion: 2` written with a dot.
            return mapping.put(dotted, value, at: range)
        }
        if path.count == 1 { return mapping.put(key, value, at: range) }
        if mapping.entry(key)?.value.mapping == nil {
            mapping.put(key, YAMLNode(.mapping(YAMLMapping()), at: range), at: range)
        }
        mapping.update(key) { $0.value.set(path.dropFirst(), to: value, at: range) }
    }
}

extension YAMLMapping {
    /// Sets or, with null, removes a key; a key that is there keeps its place.
    fileprivate mutating func put(_ key: String, _ value: YAMLNode, at range: SourceRange) {
        if value.isNull { return removeAll { $0.key == key } }
        set(.init(key: key, keyRange: entry(key)?.keyRange ?? range, value: value))
    }
}

extension Diagnostics {
    /// `--input` or `inputs.NAME` names an input that the graph does not have.
    mutating func unknownInput(_ name: String, known: [String], at range: SourceRange) {
        let near = suggestion(for: name, among: known)
        var notes: [Diagnostic.Note] = []
        if near == nil {
            notes.append(.init(known.isEmpty ? "this graph has no 'inputs:'" : "its inputs are \(listed(known))"))
        }
        add(Diagnostic(.settingTarget, "the graph has no input '\(name)'" + didYouMean(near), at: range, notes: notes))
    }
}
