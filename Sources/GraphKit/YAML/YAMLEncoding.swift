/// Finds bytes that no YAML text may hold, before libyaml sees them.
enum YAMLEncoding {
    /// The first fault of a text.
    struct Fault {
        var offset: Int
        var message: String
        var remedy: String
    }

    /// The first byte that is not UTF-8 or is a control character.
    static func firstFault(_ bytes: [UInt8]) -> Fault? {
        if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
            return Fault(
                offset: 0, message: "this file is UTF-16, graphs are UTF-8",
                remedy: "save it as UTF-8: iconv -f UTF-16 -t UTF-8")
        }
        return bytes.withUnsafeBufferPointer { bytes in
            var offset = 0
            while offset < bytes.count {
                let byte = bytes[offset]
                if byte < 0x80 {
                    if byte < 0x20 && byte != 0x09 && byte != 0x0A && byte != 0x0D || byte == 0x7F {
                        return Fault(
                            offset: offset, message: "byte \(hex(byte)) is not text: is this a binary file?",
                            remedy: "give a graph file in YAML")
                    }
                    offset += 1
                    continue
                }
                let length = sequenceLength(bytes, at: offset)
                if length == 0 {
                    return Fault(
                        offset: offset, message: "byte \(hex(byte)) is not UTF-8: is this a binary file, or an older encoding?",
                        remedy: "graphs are UTF-8 text; convert an older encoding with: iconv -f LATIN1 -t UTF-8")
                }
                offset += length
            }
            return nil
        }
    }

    private static func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "0x" + (digits.count < 2 ? "0" : "") + digits
    }

    /// The length of the well-formed UTF-8 sequence at an offset (RFC 3629), or 0.
    private static func sequenceLength(_ bytes: UnsafeBufferPointer<UInt8>, at offset: Int) -> Int {
        let first = bytes[offset]
        let length: Int
        var low: UInt8 = 0x80
        var high: UInt8 = 0xBF
        switch first {
        case 0xC2...0xDF: length = 2
        case 0xE0: (length, low) = (3, 0xA0)
        case 0xED: (length, high) = (3, 0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, low) = (4, 0x90)
        case 0xF4: (length, high) = (4, 0x8F)
        case 0xF1...0xF3: length = 4
        default: return 0
        }
        guard offset + length <= bytes.count, (low...high).contains(bytes[offset + 1]) else { return 0 }
        for index in (offset + 2)..<max(offset + 2, offset + length) where bytes[index] & 0xC0 != 0x80 { return 0 }
        return length
    }
}
