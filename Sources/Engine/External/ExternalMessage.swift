import Foundation

/// A line that an external node writes to standard output.
enum ExternalMessage: Equatable {
    case progress(done: Int, total: Int?, unit: String)
    case message(String)
    case error(String)
    /// A worker's answer to a request.
    ///
    /// - Parameters:
    ///   - run: The request that it answers, as that named itself.
    ///   - failure: Nil: all is done.
    case answer(run: String?, failure: String?)
    /// What looks like an answer but cannot be read as one.
    case garbled

    private struct Line: Decodable {
        struct Progress: Decodable {
            var done: Double
            var total: Double?
            var unit: String?
        }
        var progress: Progress?
        var message: String?
        var error: String?
        var done: Bool?
        var failed: String?
        var run: String?
        var isAnswer: Bool

        enum CodingKeys: CodingKey { case progress, message, error, done, failed, run }

        init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            progress = try c.decodeIfPresent(Progress.self, forKey: .progress)
            message = try c.decodeIfPresent(String.self, forKey: .message)
            error = try c.decodeIfPresent(String.self, forKey: .error)
            run = try c.decodeIfPresent(String.self, forKey: .run)
            isAnswer = c.contains(.done) || c.contains(.failed)
            done = try? c.decodeIfPresent(Bool.self, forKey: .done)
            failed = try? c.decodeIfPresent(String.self, forKey: .failed)
        }
    }

    /// Nil when the line is no message: then it is a line of the log.
    init?(_ line: String) {
        guard line.utf8.first == UInt8(ascii: "{"), let object = Self.decode(line) else {
            guard Self.looksLikeAnswer(line) else { return nil }
            self = .garbled
            return
        }
        if let progress = object.progress {
            guard let done = Int(exactly: progress.done.rounded()) else { return nil }
            self = .progress(done: done, total: progress.total.flatMap { Int(exactly: $0.rounded()) }, unit: progress.unit ?? "")
        } else if let error = object.error {
            self = .error(error)
        } else if object.isAnswer {
            if let failed = object.failed {
                self = .answer(run: object.run, failure: failed)
            } else if object.done == true {
                self = .answer(run: object.run, failure: nil)
            } else {
                self = .garbled
            }
        } else if let message = object.message {
            self = .message(message)
        } else {
            return nil
        }
    }

    private static func decode(_ line: String) -> Line? {
        var line = line
        if line.contains(#"\ud"#) || line.contains(#"\uD"#) {
            // Python writes file names that are no UTF-8 as halves of surrogate pairs, which are no JSON.
            let pattern = #"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"#
            line = line.replacingOccurrences(of: pattern, with: #"\\ufffd"#, options: .regularExpression)
        }
        return try? JSONDecoder().decode(Line.self, text: Data(line.utf8))
    }

    private static func looksLikeAnswer(_ line: String) -> Bool {
        // Programs may print much that is no message.
        (line.contains(#""done""#) || line.contains(#""failed""#)) && line.range(of: #"\{\s*"(failed"\s*:|done"\s*:\s*(true|false|null))"#, options: .regularExpression) != nil
    }
}
