/// The number of insertions, deletions, substitutions and swaps of neighbours between two words.
package enum EditDistance {
    /// The distance between two words, or nil when it is above `limit`.
    ///
    /// This is the restricted Damerau–Levenshtein distance: no part of a word is edited twice.
    static func between(_ a: [UInt8], _ b: [UInt8], limit: Int) -> Int? {
        guard abs(a.count - b.count) <= limit else { return nil }
        var beforeLast = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        var row = last
        for i in 0..<a.count {
            row[0] = i + 1
            var smallest = row[0]
            for j in 0..<b.count {
                let cost = a[i] == b[j] ? 0 : 1
                var value = min(last[j + 1] + 1, row[j] + 1, last[j] + cost)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { value = min(value, beforeLast[j - 1] + 1) }
                row[j + 1] = value
                smallest = min(smallest, value)
            }
            if smallest > limit { return nil }
            (beforeLast, last, row) = (last, row, beforeLast)
        }
        return last[b.count] <= limit ? last[b.count] : nil
    }

    /// The candidate nearest to a word, for «did you mean»; nil when none is near.
    package static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        var budget = 2_000_000
        return nearest(to: word, among: candidates, budget: &budget)
    }

    /// The candidate nearest to a word, ignoring case, if at most a third of its letters differ.
    ///
    /// Ties go to the earlier candidate.
    static func nearest(to word: String, among candidates: some Sequence<String>, budget: inout Int) -> String? {
        let letters = Array(word.lowercased().utf8)
        guard !letters.isEmpty, letters.count <= 128 else { return nil }
        var best: (word: String, distance: Int)?
        for candidate in candidates where candidate != word {
            // Looking at a word costs too, however far off it is.
            budget -= 8
            guard budget > 0 else { break }
            let other = Array(candidate.lowercased().utf8)
            let limit = min(best.map { $0.distance - 1 } ?? Int.max, max(1, max(letters.count, other.count) / 3))
            guard limit >= 0, abs(letters.count - other.count) <= limit else { continue }
            budget -= letters.count
            if let distance = between(letters, other, limit: limit) { best = (candidate, distance) }
        }
        // One changed letter of a one- or two-letter word is a different word, not a slip.
        if let best, letters.count <= 2, best.distance > 0, best.word.utf8.count <= 2 { return nil }
        return best?.word
    }
}
