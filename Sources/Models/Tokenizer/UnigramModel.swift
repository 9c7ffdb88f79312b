import Foundation

/// The unigram language model of SentencePiece (Kudo, ACL 2018): the split of a text into pieces whose probabilities have the largest
/// product.
struct UnigramModel {
    private let ids: [[UInt8]: Int]
    private let scores: [Double]
    private let unknown: Int?
    private let unknownScore: Double
    private let longest: Int
    /// Numbers of the pieces `<0x00>` … `<0xFF>`; nil: what is in no piece is unknown.
    private let bytes: [Int]?

    /// How many pieces it knows.
    var count: Int { scores.count }

    init(_ json: JSONObject) throws {
        let type = (json.values["type"] as? String) ?? "Unigram"
        guard type == "Unigram" else { throw TokenizerError("the model is '\(type)'; Unigram is known") }
        guard let vocabulary = json.values["vocab"] as? [[Any]], !vocabulary.isEmpty else { throw TokenizerError("'vocab' is not a list of pieces") }
        var ids: [[UInt8]: Int] = [:]
        ids.reserveCapacity(vocabulary.count)
        var scores: [Double] = []
        var longest = 1
        for (id, entry) in vocabulary.enumerated() {
            guard entry.count == 2, let piece = entry[0] as? String, let score = entry[1] as? NSNumber else {
                throw TokenizerError("entry \(id) of 'vocab' is not a piece and its score")
            }
            let key = Array(piece.utf8)
            ids[key] = id
            scores.append(score.doubleValue)
            longest = max(longest, key.count)
        }
        let unknown = json.values["unk_id"] as? Int
        if let unknown, !scores.indices.contains(unknown) { throw TokenizerError("'unk_id' \(unknown) is outside the vocabulary") }
        self.unknown = unknown
        // A penalty below the least likely piece.
        unknownScore = (scores.min() ?? 0) - 10
        if json.flag("byte_fallback") {
            let numbers = (0...255).compactMap { ids[Array(String(format: "<0x%02X>", $0).utf8)] }
            bytes = numbers.count == 256 ? numbers : nil
        } else {
            bytes = nil
        }
        (self.ids, self.scores, self.longest) = (ids, scores, longest)
    }

    /// The numbers of the best pieces.
    func callAsFunction(_ scalars: [Unicode.Scalar]) -> [Int] {
        let text = Array(String(String.UnicodeScalarView(scalars)).utf8)
        return segmented(text).flatMap { piece -> [Int] in
            if let id = ids[piece] { return [id] }
            if let bytes { return piece.map { bytes[Int($0)] } }
            return unknown.map { [$0] } ?? []
        }
    }

    /// The best split (Viterbi); neighbouring unknown characters are one piece.
    private func segmented(_ text: [UInt8]) -> [[UInt8]] {
        /// The best path that ends at a byte.
        struct Node { var score = 0.0, start = -1, isUnknown = false }
        var best = [Node](repeating: Node(), count: text.count + 1)
        var start = 0
        while start < text.count {
            let lead = text[start]
            let width = min(lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4, text.count - start)
            let here = best[start].score
            var hasSingle = false
            func offer(_ end: Int, _ score: Double, isUnknown: Bool) {
                if best[end].start < 0 || score > best[end].score { best[end] = Node(score: score, start: start, isUnknown: isUnknown) }
            }
            var end = start + width
            while end <= text.count, end - start <= longest {
                if let id = ids[Array(text[start..<end])] {
                    offer(end, here + scores[id], isUnknown: id == unknown)
                    if end - start == width { hasSingle = true }
                }
                guard end < text.count else { break }
                end += text[end] < 0x80 ? 1 : text[end] < 0xE0 ? 2 : text[end] < 0xF0 ? 3 : 4
            }
            if !hasSingle { offer(start + width, here + unknownScore, isUnknown: true) }
            start += width
        }
        var pieces: [[UInt8]] = []
        var end = text.count
        var wasUnknown = false
        while end > 0 {
            let node = best[end]
            let piece = Array(text[node.start..<end])
            if node.isUnknown, wasUnknown, !pieces.isEmpty {
                pieces[pieces.count - 1] = piece + pieces[pieces.count - 1]
            } else {
                pieces.append(piece)
            }
            wasUnknown = node.isUnknown
            end = node.start
        }
        return pieces.reversed()
    }
}
