import Foundation

/// Lets `face.motion[each.range]` stand unquoted inside `{ … }`.
///
/// YAML ends a plain scalar at a bracket there. A bracket of `[each.range]` right after a word can mean nothing else, so
/// it is hidden from libyaml behind two private-use characters, one for one so that columns stay, and put back in the
/// scalars. Quoted, or in block style, the wire is YAML for every reader.
enum EachRange {
    static let suffix = "[each.range]"
    private static let pattern = Array(suffix.utf8)
    // U+F8F0 and U+F8F1: three bytes each in UTF-8.
    private static let hidden = Array("\u{F8F0}each.range\u{F8F1}".utf8)

    static func occurs(in bytes: [UInt8]) -> Bool {
        var index = 0
        while let bracket = bytes[index...].firstIndex(of: pattern[0]) {
            if bytes[bracket...].starts(with: pattern) { return true }
            index = bracket + 1
        }
        return false
    }

    static func hide(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + bytes.count / 8)
        var index = 0
        while index < bytes.count {
            if bytes[index] == pattern[0], index > 0, isWord(bytes[index - 1]),
                index + pattern.count <= bytes.count, bytes[index..<(index + pattern.count)].elementsEqual(pattern)
            {
                result += hidden
                index += pattern.count
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return result
    }

    static func restore(_ text: String) -> String {
        guard text.utf8.contains(0xEF) else { return text }
        return text.replacingOccurrences(of: "\u{F8F0}each.range\u{F8F1}", with: suffix)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
