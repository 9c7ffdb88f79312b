import Foundation

/// FNV-1a of 64 bits, and the fixtures that `Tests/Parity/make_digest_fixtures.py` writes with it.
struct Digest {
    private var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }

    var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    static func rows<Row: Decodable>(_ type: Row.Type, _ name: String) throws -> [Row] {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return try JSONDecoder().decode([Row].self, from: Data(contentsOf: tests.appending(path: "Fixtures/Digests/\(name).json")))
    }
}
