/// The keys of a graph file, level by level; the checker, the schema and suggestions read these.
enum GraphKeys {
    /// The format version that this program reads.
    static let formatVersion = 1
    static let top = ["understudy", "name", "description", "extends", "inputs", "nodes", "outputs", "pins"]
    static let input = ["type", "default", "help"]
    static let node = ["type", "each", "carry", "in", "with", "help"]
}

/// «; did you mean 'x'?» or nothing.
func didYouMean(_ word: String?) -> String { word.map { "; did you mean '\($0)'?" } ?? "" }

/// «'a', 'b' and 'c'»; at most five, then how many more.
func listed(_ words: some Collection<String>, most: Int = 5) -> String {
    let shown = words.prefix(words.count == most + 1 ? most + 1 : most).map { "'\($0)'" }
    let more = words.count - shown.count
    if more > 0 { return shown.joined(separator: ", ") + " and \(more) more" }
    guard shown.count > 1, let last = shown.last else { return shown.first ?? "none" }
    return shown.dropLast().joined(separator: ", ") + " and " + last
}
