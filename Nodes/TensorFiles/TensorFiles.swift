import Foundation
import NodeKit
import Safetensors

/// Reads any safetensors file.
public struct TensorLoad: Node {
    public static let type: NodeType = "tensor.load"
    public static let version = 1
    public static let summary = "Reads the tensors of a safetensors file."

    @Input("A safetensors file.") var file: File
    @Output("All of its tensors.") var tensors: TensorBundle

    public init() {}

    public func run(in context: NodeContext) throws {
        let source = try SafetensorsFile(path: file.path)
        try $tensors.write(headerCapacity: source.dataOffset + 4096) { try copy(source, source.tensors.keys.sorted(), to: $0) }
    }
}

/// Writes tensors to a safetensors file.
public struct TensorSave: Node {
    public static let type: NodeType = "tensor.save"
    public static let version = 1
    public static let summary = "Writes tensors to a safetensors file."

    @Input("The tensors.") var tensors: TensorBundle
    @Parameter("Names of the tensors to write; all if empty.") var names: [String] = []
    @Output("A safetensors file.") var file: File

    public init() {}

    public func run(in context: NodeContext) throws {
        let source = tensors.file
        let chosen = names.isEmpty ? source.tensors.keys.sorted() : names
        for name in chosen { _ = try source.info(name) }
        try $file.write(extension: "safetensors") { path in
            let writer = try ArtifactWriter(path: path, type: .tensor, headerCapacity: source.dataOffset + 4096)
            try copy(source, chosen, to: writer)
            _ = try writer.finish(sync: false)
        }
    }
}

private func copy(_ source: SafetensorsFile, _ names: [String], to writer: ArtifactWriter) throws {
    for name in names {
        let info = try source.info(name)
        try source.withBytes(info) { try writer.write(name, dtype: info.dtype, bytes: $0, shape: info.shape) }
    }
}

/// Writes a table as text.
public struct TableSave: Node {
    public static let type: NodeType = "table.save"
    public static let version = 1
    public static let summary = "Writes a table as CSV or JSON."

    public enum Format: String, ParameterChoice { case csv, json }

    @Input("The table.") var table: Table
    @Parameter("CSV with a header row, or JSON.") var format = Format.csv
    @Output("The text file.") var file: File

    public init() {}

    public func run(in context: NodeContext) throws {
        try $file.write(extension: format.rawValue) { path in
            let text = format == .csv ? table.csv() : try table.json()
            try Data(text.utf8).write(to: URL(filePath: path))
        }
    }
}
