/// Reads small JSON texts quickly: headers, and what the engine's index holds.
///
/// It knows the JSON that we write. Nil means «not that», never «wrong»: then `JSONDecoder` or `JSONSerialization` have the word.
package struct JSONReader {
    package enum Value {
        case string(String)
        case integer(Int)
        case list([Value])
        case object([String: Value])

        package var string: String? { if case .string(let text) = self { text } else { nil } }
        package var integer: Int? { if case .integer(let number) = self { number } else { nil } }
        package var list: [Value]? { if case .list(let values) = self { values } else { nil } }
        package var object: [String: Value]? { if case .object(let fields) = self { fields } else { nil } }
    }

    private static let deepest = 8
    private let bytes: UnsafeRawBufferPointer
    private var place = 0

    private init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    package static func read(_ bytes: UnsafeRawBufferPointer) -> Value? {
        var reader = JSONReader(bytes: bytes)
        guard let value = reader.value(depth: 0) else { return nil }
        reader.skipSpace()
        return reader.place == bytes.count ? value : nil
    }

    package static func read(_ text: String) -> Value? {
        var text = text
        return text.withUTF8 { read(UnsafeRawBufferPointer($0)) }
    }

    private mutating func skipSpace() {
        while place < bytes.count, bytes[place] == 0x20 || bytes[place] == 0x0A { place += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard place < bytes.count, bytes[place] == byte else { return false }
        place += 1
        return true
    }

    private mutating func value(depth: Int) -> Value? {
        skipSpace()
        guard place < bytes.count, depth < Self.deepest else { return nil }
        switch bytes[place] {
        case UInt8(ascii: "\""): return string().map(Value.string)
        case UInt8(ascii: "["): return list(depth)
        case UInt8(ascii: "{"): return object(depth)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return integer().map(Value.integer)
        default: return nil
        }
    }

    private mutating func list(_ depth: Int) -> Value? {
        place += 1
        var values: [Value] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .list(values) }
        repeat {
            guard let value = value(depth: depth + 1) else { return nil }
            values.append(value)
            skipSpace()
        } while take(UInt8(ascii: ","))
        return take(UInt8(ascii: "]")) ? .list(values) : nil
    }

    private mutating func object(_ depth: Int) -> Value? {
        place += 1
        var fields: [String: Value] = [:]
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(fields) }
        repeat {
            skipSpace()
            guard let key = string() else { return nil }
            skipSpace()
            guard take(UInt8(ascii: ":")), let value = value(depth: depth + 1), fields.updateValue(value, forKey: key) == nil
            else { return nil }
            skipSpace()
        } while take(UInt8(ascii: ","))
        return take(UInt8(ascii: "}")) ? .object(fields) : nil
    }

    private mutating func integer() -> Int? {
        let start = place
        var number = 0
        while place < bytes.count, case let digit = bytes[place], digit >= 48, digit <= 57 {
            guard place - start < 18 else { return nil }
            number = number * 10 + Int(digit - 48)
            place += 1
        }
        // Fractions, exponents and leading zeros are for the others.
        if place < bytes.count, [UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E")].contains(bytes[place]) { return nil }
        return place - start > 1 && bytes[start] == 48 ? nil : number
    }

    private mutating func string() -> String? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        let start = place
        while place < bytes.count, case let byte = bytes[place], byte >= 0x20, byte < 0x80, byte != 0x22, byte != 0x5C { place += 1 }
        guard place < bytes.count else { return nil }
        if bytes[place] == 0x22 {
            defer { place += 1 }
            return String(decoding: bytes[start..<place], as: UTF8.self)
        }
        var text = Array(bytes[start..<place])
        while place < bytes.count, case let byte = bytes[place] {
            place += 1
            switch byte {
            case 0x22: return String(validating: text, as: UTF8.self)
            case 0x5C:
                guard place < bytes.count else { return nil }
                switch bytes[place] {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(bytes[place])
                case UInt8(ascii: "n"): text.append(0x0A)
                case UInt8(ascii: "t"): text.append(0x09)
                default: return nil
                }
                place += 1
            case ..<0x20: return nil
            default: text.append(byte)
            }
        }
        return nil
    }
}
