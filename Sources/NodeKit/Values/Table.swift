import Safetensors

/// Numbers with names and units: metrics, bone ratios.
public struct Table: WritableValue {
    public static let portType = PortType.table

    public struct Column: Sendable, Hashable, Codable {
        public var name: String
        /// Empty for plain numbers.
        public var unit: String

        public init(_ name: String, unit: String = "") {
            self.name = name
            self.unit = unit
        }
    }

    public let columns: [Column]
    /// One label per row; may be empty strings.
    public let labels: [String]
    /// `[rows, columns]`; NaN: no value.
    public let values: [[Double]]

    /// - Precondition: Every row has one value per column.
    public init(columns: [Column], rows: [(label: String, values: [Double])]) {
        precondition(rows.allSatisfy { $0.values.count == columns.count }, "a row has one value per column")
        self.columns = columns
        labels = rows.map(\.label)
        values = rows.map(\.values)
    }

    private struct Metadata: Codable {
        var columns: [Column]
        var labels: [String]
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let metadata = try file.metadata(Metadata.self, of: Self.portType)
        let width = metadata.columns.count
        let flat = try file.array("values", of: Double.self, shape: [metadata.labels.count, width])
        columns = metadata.columns
        labels = metadata.labels
        values = metadata.labels.indices.map { flat.rows($0..<($0 + 1), of: width) }
    }

    public func write(to writer: ArtifactWriter) throws {
        try writer.set(metadata: Metadata(columns: columns, labels: labels))
        try writer.write("values", values.flatMap { $0 }, shape: [values.count, columns.count])
    }
}
