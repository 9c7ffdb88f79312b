import Foundation
import NodeKit

/// One self-contained HTML page about a run: the graph, timings, previews, the films.
public struct ReportPage {
    public struct Row {
        public var node: String
        public var type: String
        /// `cached`, `ran`, `failed`, …
        public var status: String
        /// How long it took when it ran, in seconds; nil when it did not.
        public var seconds: Double?
        /// The most memory that was resident while it ran, in words.
        public var memory: String
        public var bytes: Int
        public var note: String

        public init(node: String, type: String, status: String, seconds: Double?, memory: String, bytes: Int, note: String) {
            self.node = node
            self.type = type
            self.status = status
            self.seconds = seconds
            self.memory = memory
            self.bytes = bytes
            self.note = note
        }
    }

    public struct Preview {
        public var title: String
        public var facts: [Inspection.Fact]
        public var png: [UInt8]?
        public var table: Table?

        public init(title: String, facts: [Inspection.Fact], png: [UInt8]?, table: Table?) {
            self.title = title
            self.facts = facts
            self.png = png
            self.table = table
        }
    }

    public var title: String
    public var facts: [Inspection.Fact]
    /// The graph as SVG.
    public var graph: String
    public var rows: [Row]
    /// Films to show in the page, MP4 bytes by name.
    public var films: [(name: String, bytes: Data)]
    public var previews: [Preview]

    public init(
        title: String, facts: [Inspection.Fact], graph: String, rows: [Row], films: [(name: String, bytes: Data)], previews: [Preview]
    ) {
        self.title = title
        self.facts = facts
        self.graph = graph
        self.rows = rows
        self.films = films
        self.previews = previews
    }

    /// The page's HTML.
    public var html: String {
        let longest = rows.compactMap(\.seconds).max() ?? 0
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(Self.escaped(title))</title>
            <style>
            :root { color-scheme: light dark; --text: #1c1c1c; --soft: #5c5c5c; --page: #fff; --line: #e0e0e0; --bar: #3b78b5; --bad: #b00020 }
            @media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --soft: #a8a8a8; --page: #17181a; --line: #3a3b3d; --bar: #6ea8e0; --bad: #ff8a8a } }
            body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: var(--text); background: var(--page) }
            h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem; margin: 1.8rem 0 .3rem } a { color: inherit }
            .wide { overflow-x: auto } .graph { background: #fafafa; color: #000; border-radius: 4px } .graph svg { display: block }
            table { border-collapse: collapse } th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
            .timings { width: 100% } th.number, td.number { text-align: right; white-space: nowrap } td.bar { width: 30% }
            .bar div { background: var(--bar); height: .8rem; margin-top: .3rem; border-radius: 2px; min-width: 1px } .note { overflow-wrap: anywhere }
            .cached td, .skipped td { color: var(--soft) } .cached .bar div { opacity: .4 } .failed .result, .failed .note { color: var(--bad); font-weight: 600 }
            dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0 } dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
            img, video { display: block; max-width: 100%; height: auto; margin-top: .5rem; border-radius: 2px } video { width: min(24rem, 100%) }
            @media (max-width: 40rem) { .timings .bar, .timings .type { display: none } }
            </style></head><body>
            <h1>\(Self.escaped(title))</h1>
            \(Self.list(facts))
            \(films.map { "<h2>\(Self.escaped($0.name))</h2><video controls loop src=\"data:video/mp4;base64,\($0.bytes.base64EncodedString())\"></video>" }.joined(separator: "\n"))
            <h2>Graph</h2><div class="wide graph">\(graph)</div>
            <h2>Timings</h2>
            <div class="wide"><table class="timings"><thead><tr><th>node</th><th class="type">type</th><th>result</th><th class="number">time</th>
            <th class="bar"></th><th class="number">peak memory</th><th class="number">made</th><th></th></tr></thead><tbody>
            \(rows.map { Self.line($0, longest: longest) }.joined(separator: "\n"))
            </tbody></table></div>
            <h2>Values</h2>
            \(previews.map(Self.block).joined(separator: "\n"))
            </body></html>

            """
    }

    private static func line(_ row: Row, longest: Double) -> String {
        var bar = ""
        if let seconds = row.seconds, longest > 0 {
            bar = String(format: "<div style=\"width:%.2f%%\"></div>", 100 * seconds / longest)
        }
        let time = row.seconds.map { String(format: "%.2f s", $0) } ?? ""
        let size = row.bytes > 0 ? row.bytes < 10_000 ? "\(row.bytes) B" : String(format: "%.2f MB", Double(row.bytes) / 1e6) : ""
        let note = row.note.replacing("\n", with: " ")
        return "<tr class=\"\(escaped(row.status))\"><td><a href=\"#\(escaped(row.node))\">\(escaped(row.node))</a></td>"
            + "<td class=\"type\">\(escaped(row.type))</td><td class=\"result\">\(escaped(row.status))</td><td class=\"number\">\(time)</td>"
            + "<td class=\"bar\">\(bar)</td><td class=\"number\">\(escaped(row.memory))</td><td class=\"number\">\(size)</td><td class=\"note\">\(escaped(note))</td></tr>"
    }

    private static func block(_ preview: Preview) -> String {
        let picture = preview.png.map { "<img alt=\"\(escaped(preview.title))\" src=\"data:image/png;base64,\(Data($0).base64EncodedString())\">" } ?? ""
        // The node's first value is where the table of timings leads to.
        let node = preview.title.prefix { $0 != "." }
        return "<h3 id=\"\(escaped(String(node)))\">\(escaped(preview.title))</h3>\(list(preview.facts))\(picture)\(preview.table.map(rows(of:)) ?? "")"
    }

    /// A table's first rows; numbers that are not finite are left out.
    private static func rows(of table: Table) -> String {
        let most = 100
        let head = table.columns.map { "<th class=\"number\">\(escaped($0.unit.isEmpty ? $0.name : "\($0.name), \($0.unit)"))</th>" }
        let lines = zip(table.labels, table.values).prefix(most).map { label, values in
            "<tr><td>\(escaped(label))</td>" + values.map { "<td class=\"number\">\($0.isFinite ? short($0) : "–")</td>" }.joined() + "</tr>"
        }
        let rest = table.values.count > most ? "<p>… \(table.values.count - most) more rows</p>" : ""
        return "<div class=\"wide\"><table><thead><tr><th></th>\(head.joined())</tr></thead><tbody>\(lines.joined(separator: "\n"))</tbody></table></div>\(rest)"
    }

    private static func list(_ facts: [Inspection.Fact]) -> String {
        "<dl>" + facts.map { "<dt>\(escaped($0.label))</dt><dd>\(escaped($0.value))</dd>" }.joined() + "</dl>"
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
        return result
    }
}
