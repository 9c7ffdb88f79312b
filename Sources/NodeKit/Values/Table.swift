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

        init(columns: [Column], labels: [String]) {
            self.columns = columns
            self.labels = labels
        }

        /// Reads what ``json`` wrote; nil when the text needs a decoder.
        init?(json: String) {
            guard let fields = JSONReader.read(json)?.object, fields.count == 2, let columns = fields["columns"]?.list,
                let labels = fields["labels"]?.list
            else { return nil }
            self.columns = columns.compactMap { column in
                guard let name = column.object?["name"]?.string, let unit = column.object?["unit"]?.string else { return nil }
                return Column(name, unit: unit)
            }
            self.labels = labels.compactMap(\.string)
            guard self.columns.count == columns.count, self.labels.count == labels.count else { return nil }
        }

        /// As `JSONEncoder` writes it with sorted keys; nil when something needs escapes.
        ///
        /// Tables are made by the thousand, and small: an encoder takes longer than all the rest.
        var json: String? {
            let texts = columns.flatMap { [$0.name, $0.unit] } + labels
            guard texts.allSatisfy({ $0.utf8.allSatisfy { (0x20..<0x7F).contains($0) && $0 != 0x22 && $0 != 0x5C } }) else { return nil }
            let columns = columns.map { "{\"name\":\"\($0.name)\",\"unit\":\"\($0.unit)\"}" }.joined(separator: ",")
            return "{\"columns\":[\(columns)],\"labels\":[\(labels.map { "\"\($0)\"" }.joined(separator: ","))]}"
        }
    }

    public init(artifact: Artifact) throws {
        let file = try artifact.open()
        let metadata =
            try Metadata(json: file.metadataText(of: Self.portType)) ?? file.metadata(Metadata.self, of: Self.portType)
        let width = metadata.columns.count
        let flat = try file.array("values", of: Double.self, shape: [metadata.labels.count, width])
        columns = metadata.columns
        labels = metadata.labels
        values = metadata.labels.indices.map { flat.rows($0..<($0 + 1), of: width) }
    }

    public func write(to writer: ArtifactWriter) throws {
        let metadata = Metadata(columns: columns, labels: labels)
        if let json = metadata.json { writer.set(json: json) } else { try writer.set(metadata: metadata) }
        try writer.write("values", values.flatMap { $0 }, shape: [values.count, columns.count])
    }
}
