/// Places the boxes of a graph in layers from left to right (after Sugiyama, Tagawa and Toda 1981, in its simplest form).
///
/// A box stands one layer after the last of what it depends on; long arrows get a bend in every layer that they cross, so
/// that they pass between boxes; bends and boxes are ordered by the mean place of their neighbours.
struct LayeredLayout {
    struct Point { var x: Double, y: Double }

    /// The centre of every box.
    private(set) var centres: [Point]
    /// For every arrow, the points between its ends.
    private(set) var bends: [[Point]]
    private(set) var width = 0.0
    private(set) var height = 0.0

    private struct Item {
        var box: Int?
        var layer: Int
        var height: Double
        var y = 0.0
        var before: [Int] = []
        var after: [Int] = []
    }

    private static let gap = 18.0
    private static let bendHeight = 8.0
    private static let margin = 16.0
    /// Beyond this many bends arrows run straight: such a graph is no picture anyway.
    private static let mostBends = 20_000

    /// - Parameters:
    ///   - sizes: Width and height of each box.
    ///   - arrows: From and to, as indices of boxes; the graph has no cycles.
    ///   - layerGap: Room for the labels of arrows between layers.
    init(sizes: [(width: Double, height: Double)], arrows: [(from: Int, to: Int)], layerGap: Double) {
        centres = [Point](repeating: Point(x: 0, y: 0), count: sizes.count)
        bends = [[Point]](repeating: [], count: arrows.count)
        guard !sizes.isEmpty else { return }
        let layers = Self.layers(count: sizes.count, arrows: arrows)
        var items = sizes.indices.map { Item(box: $0, layer: layers[$0], height: sizes[$0].height) }
        var chains: [[Int]] = []
        let span = arrows.reduce(0) { $0 + max(0, layers[$1.to] - layers[$1.from] - 1) }
        for arrow in arrows {
            var chain: [Int] = []
            var last = arrow.from
            if span <= Self.mostBends {
                for layer in (layers[arrow.from] + 1)..<max(layers[arrow.from] + 1, layers[arrow.to]) {
                    items.append(Item(box: nil, layer: layer, height: Self.bendHeight))
                    items[last].after.append(items.count - 1)
                    items[items.count - 1].before.append(last)
                    last = items.count - 1
                    chain.append(last)
                }
            }
            items[last].after.append(arrow.to)
            items[arrow.to].before.append(last)
            chains.append(chain)
        }
        var columns = [[Int]](repeating: [], count: (layers.max() ?? 0) + 1)
        for index in items.indices { columns[items[index].layer].append(index) }
        Self.order(&columns, &items)
        Self.settle(columns, &items)
        place(columns, items, chains, sizes, layerGap)
    }

    private static func layers(count: Int, arrows: [(from: Int, to: Int)]) -> [Int] {
        var after = [[Int]](repeating: [], count: count)
        var waiting = [Int](repeating: 0, count: count)
        for arrow in arrows {
            after[arrow.from].append(arrow.to)
            waiting[arrow.to] += 1
        }
        let isSource = waiting.map { $0 == 0 }
        var layers = [Int](repeating: 0, count: count)
        var ready = (0..<count).filter { waiting[$0] == 0 }
        while let box = ready.popLast() {
            for next in after[box] {
                layers[next] = max(layers[next], layers[box] + 1)
                waiting[next] -= 1
                if waiting[next] == 0 { ready.append(next) }
            }
        }
        // A source used only far to the right stands beside its use, not at the edge of the picture.
        for box in 0..<count where !after[box].isEmpty && isSource[box] {
            layers[box] = (after[box].map { layers[$0] }.min() ?? 1) - 1
        }
        return layers
    }

    /// Sorts each column by the mean place of its neighbours, to and fro.
    private static func order(_ columns: inout [[Int]], _ items: inout [Item]) {
        func number(_ column: [Int]) { for (place, index) in column.enumerated() { items[index].y = Double(place) } }
        columns.forEach(number)
        for sweep in 0..<8 {
            let forwards = sweep % 2 == 0
            for layer in forwards ? Array(columns.indices) : columns.indices.reversed() {
                let keys = columns[layer].map { index in
                    mean(forwards ? items[index].before : items[index].after, items) ?? items[index].y
                }
                columns[layer] = zip(columns[layer], keys).enumerated()
                    .sorted { ($0.element.1, $0.offset) < ($1.element.1, $1.offset) }.map(\.element.0)
                number(columns[layer])
            }
        }
    }

    /// Moves boxes towards their neighbours' height, keeping order and gaps.
    private static func settle(_ columns: [[Int]], _ items: inout [Item]) {
        for column in columns {
            let total = column.reduce(0) { $0 + items[$1].height + gap }
            var y = -total / 2
            for index in column {
                items[index].y = y + items[index].height / 2
                y += items[index].height + gap
            }
        }
        for sweep in 0..<12 {
            for column in sweep % 2 == 0 ? columns : columns.reversed() {
                let wanted = column.map { index in mean(items[index].before + items[index].after, items) ?? items[index].y }
                spread(column, wanted, &items)
            }
        }
    }

    /// Gives each item of a column its wish, pushed apart from both ends evenly.
    private static func spread(_ column: [Int], _ wanted: [Double], _ items: inout [Item]) {
        func distance(_ a: Int, _ b: Int) -> Double { (items[column[a]].height + items[column[b]].height) / 2 + gap }
        var down = wanted
        for place in column.indices.dropFirst() { down[place] = max(down[place], down[place - 1] + distance(place - 1, place)) }
        var up = wanted
        for place in column.indices.dropLast().reversed() { up[place] = min(up[place], up[place + 1] - distance(place, place + 1)) }
        for place in column.indices { items[column[place]].y = (down[place] + up[place]) / 2 }
    }

    private static func mean(_ indices: [Int], _ items: [Item]) -> Double? {
        indices.isEmpty ? nil : indices.reduce(0) { $0 + items[$1].y } / Double(indices.count)
    }

    private mutating func place(
        _ columns: [[Int]], _ items: [Item], _ chains: [[Int]], _ sizes: [(width: Double, height: Double)], _ layerGap: Double
    ) {
        let top = items.map { $0.y - $0.height / 2 }.min() ?? 0
        let bottom = items.map { $0.y + $0.height / 2 }.max() ?? 0
        var x = Self.margin
        var points = [Point](repeating: Point(x: 0, y: 0), count: items.count)
        for column in columns {
            let widest = column.compactMap { items[$0].box.map { sizes[$0].width } }.max() ?? 0
            for index in column { points[index] = Point(x: x + widest / 2, y: items[index].y - top + Self.margin) }
            x += widest + layerGap
        }
        for (index, item) in items.enumerated() { if let box = item.box { centres[box] = points[index] } }
        for (index, chain) in chains.enumerated() { bends[index] = chain.map { points[$0] } }
        width = x - layerGap + Self.margin
        height = bottom - top + 2 * Self.margin
    }
}
