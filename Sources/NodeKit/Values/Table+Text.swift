import Foundation

extension Table {
    /// Comma-separated values (RFC 4180): a header row with units in brackets, the label first; no value is an empty field.
    public func csv() -> String {
        func field(_ text: String) -> String {
            text.contains(where: { ",\"\r\n".contains($0) }) ? "\"\(text.replacing("\"", with: "\"\""))\"" : text
        }
        let header = ["label"] + columns.map { $0.unit.isEmpty ? $0.name : "\($0.name) [\($0.unit)]" }
        let rows = zip(labels, values).map { label, row in
            [field(label)] + row.map { $0.isFinite ? "\($0)" : "" }
        }
        return ([header.map(field)] + rows).map { $0.joined(separator: ",") }.joined(separator: "\r\n") + "\r\n"
    }

    /// A JSON list of rows, each a mapping from column to number (or null) with its `label`.
    public func json() throws -> String {
        let rows = zip(labels, values).map { label, row in
            var object: [String: Any] = ["label": label]
            for (column, value) in zip(columns, row) { object[column.name] = value.isFinite ? value : NSNull() }
            return object
        }
        let data = try JSONSerialization.data(withJSONObject: rows, options: [.sortedKeys, .prettyPrinted])
        return String(decoding: data, as: UTF8.self) + "\n"
    }
}
