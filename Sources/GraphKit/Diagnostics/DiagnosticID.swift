/// The stable names of diagnostics; tests and editors refer to these, not to their wording.
public enum DiagnosticID: String, Sendable, CaseIterable {
    // Text
    case unreadable = "file.unreadable"
    case encoding = "file.encoding"
    case yamlSyntax = "yaml.syntax"
    case yamlDocuments = "yaml.documents"
    case yamlDepth = "yaml.depth"
    case yamlKey = "yaml.key"
    case yamlDuplicateKey = "yaml.duplicate-key"
    case yamlAlias = "yaml.alias"
    case yamlAliasBomb = "yaml.alias-bomb"
    case yamlMerge = "yaml.merge"
    case yamlTag = "yaml.tag"

    // Overlays
    case extendsCycle = "overlay.cycle"
    case settingSyntax = "setting.syntax"
    case settingTarget = "setting.target"

    // The graph's own shape
    case shape = "graph.shape"
    case unknownKey = "graph.unknown-key"
    case missingKey = "graph.missing-key"
    case version = "graph.version"
    case name = "graph.name"
    case inputType = "input.type"
    case inputMissing = "input.missing"
    case fileMissing = "file.missing"

    // Nodes
    case nodeType = "node.type"
    case port = "node.port"
    case portMissing = "node.port-missing"
    case parameter = "node.parameter"
    case parameterType = "parameter.type"
    case parameterRange = "parameter.range"
    case parameterChoice = "parameter.choice"

    // Wires
    case wireSyntax = "wire.syntax"
    case wireSource = "wire.source"
    case wireType = "wire.type"
    case wireSlice = "wire.slice"
    case cycle = "graph.cycle"
    case each = "node.each"
    case carry = "node.carry"
    case outputs = "graph.outputs"
    case pin = "graph.pins"
}
