import Foundation

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

        public init(title: String, facts: [Inspection.Fact], png: [UInt8]?) {
            self.title = title
            self.facts = facts
            self.png = png
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
            body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1c1c1c; background: #fff }
            h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem; margin: 1.4rem 0 .3rem }
            table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #e4e4e4; vertical-align: top }
            td.number { text-align: right; white-space: nowrap } td.bar { width: 30% } .bar div { background: #3b78b5; height: .8rem; border-radius: 2px; min-width: 1px }
            .cached { color: #666 } .failed { color: #b00020; font-weight: 600 } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0 }
            dt { color: #666 } dd { margin: 0; overflow-wrap: anywhere } img, video { max-width: 100%; border: 1px solid #ddd } .graph { overflow-x: auto }
            video { min-width: min(24rem, 100%); image-rendering: auto }
            </style></head><body>
            <h1>\(Self.escaped(title))</h1>
            \(Self.list(facts))
            \(films.map { "<h2>\(Self.escaped($0.name))</h2><video controls loop src=\"data:video/mp4;base64,\($0.bytes.base64EncodedString())\"></video>" }.joined(separator: "\n"))
            <h2>Graph</h2><div class="graph">\(graph)</div>
            <h2>Timings</h2>
            <table><thead><tr><th>node</th><th>type</th><th>result</th><th>time</th><th></th><th>peak memory</th><th>made</th><th></th></tr></thead><tbody>
            \(rows.map { Self.line($0, longest: longest) }.joined(separator: "\n"))
            </tbody></table>
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
        let size = row.bytes > 0 ? String(format: "%.2f MB", Double(row.bytes) / 1e6) : ""
        return "<tr class=\"\(escaped(row.status))\"><td>\(escaped(row.node))</td><td>\(escaped(row.type))</td><td>\(escaped(row.status))</td>"
            + "<td class=\"number\">\(time)</td><td class=\"bar\">\(bar)</td><td class=\"number\">\(escaped(row.memory))</td><td class=\"number\">\(size)</td><td>\(escaped(row.note))</td></tr>"
    }

    private static func block(_ preview: Preview) -> String {
        let picture = preview.png.map { "<img alt=\"\(escaped(preview.title))\" src=\"data:image/png;base64,\(Data($0).base64EncodedString())\">" } ?? ""
        return "<h3>\(escaped(preview.title))</h3>\(list(preview.facts))\(picture)"
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
