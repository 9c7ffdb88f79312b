import Foundation
import Testing

/// A bounded run of the fuzzers, without libFuzzer: files of the corpora, mutated in a fixed sequence. `run.sh` is the long one.
@Suite(.serialized) struct FuzzTests {
    @Test("mutated files make no reader trap, hang or allocate without bound", arguments: Reader.Kind.allCases)
    func mutated(kind: Reader.Kind) async throws {
        let place = FileManager.default.temporaryDirectory.appending(path: "fuzzed-\(kind.rawValue)-\(UUID().uuidString)").path
        let name = kind.rawValue
        await #expect(processExitsWith: .success, "the input is in \(place)") { [name = name as String, place = place as String] in
            let reader = try Reader(try #require(Reader.Kind(rawValue: name)))
            defer { reader.removeScratch() }
            let corpus = try corpus(of: name)
            // What is made once does not count.
            for bytes in corpus { try? reader.read(bytes) }
            var mutator = Mutator(state: UInt64(name.utf8.reduce(0) { $0 * 31 + Int($1) }), corpus: corpus)
            for _ in 0..<400 {
                let bytes = mutator.next()
                try Data(bytes).write(to: URL(filePath: place))
                limitMemory(beyondNow: reader.heapLimit(bytes.count))
                reader.readInTime(bytes)
            }
            unlink(place)
        }
    }
}

private func corpus(of kind: String) throws -> [[UInt8]] {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Corpus/\(kind)")
    return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        .sorted { $0.path < $1.path }.map { [UInt8](try Data(contentsOf: $0)) }
}

/// Lets the process allocate only so much more than it holds now: beyond that allocations fail, and Swift traps.
private func limitMemory(beyondNow bytes: Int) {
    // A sanitizer's own memory is not the reader's.
    guard dlsym(UnsafeMutableRawPointer(bitPattern: 0), "__asan_init") == nil, dlsym(UnsafeMutableRawPointer(bitPattern: 0), "__tsan_init") == nil
    else { return }
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmData:") }), let held = Int(line.filter(\.isNumber)) else { return }
    var limit = rlimit()
    let resource = __rlimit_resource_t(UInt32(RLIMIT_DATA.rawValue))
    getrlimit(resource, &limit)
    limit.rlim_cur = rlim_t(held * 1024 + bytes)
    setrlimit(resource, &limit)
}

/// Changes files a little, in a sequence that its seed fixes.
private struct Mutator {
    var state: UInt64
    let corpus: [[UInt8]]
    /// What readers stumble over.
    private static let tokens = [
        "-1", "0", "18446744073709551615", "9223372036854775807", "-9223372036854775808", "4294967295", "1e308", "-1e-400", "nan", "null",
        "[", "]", "{", "}", "\"", "\\u0000", "&a", "*a", "<<: *a", "!!binary", "? ", "..", "/", "\u{FEFF}", "\n", "\t", "HIERARCHY", "Frames: 999999999",
    ].map { Array($0.utf8) } + [[0xFF, 0xFE], [0, 0, 0, 0x80], [UInt8](repeating: 0xFF, count: 8), [UInt8](repeating: 0x5B, count: 3000)]

    init(state: UInt64, corpus: [[UInt8]]) {
        self.state = state
        self.corpus = corpus
    }

    private mutating func random(_ below: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % max(below, 1)
    }

    mutating func next() -> [UInt8] {
        var bytes = corpus[random(corpus.count)]
        let longest = 2 * bytes.count + 4096
        for _ in 0...random(6) {
            let place = random(bytes.count + 1)
            let length = min(random(64), bytes.count - place)
            switch random(7) {
            case 0: if place < bytes.count { bytes[place] ^= 1 << UInt8(random(8)) }
            case 1: if place < bytes.count { bytes[place] = UInt8(random(256)) }
            case 2: bytes.removeLast(bytes.count - place)
            case 3: bytes.removeSubrange(place..<(place + length))
            case 4: bytes.insert(contentsOf: bytes[place..<(place + length)], at: random(bytes.count + 1))
            case 5: bytes.insert(contentsOf: Self.tokens[random(Self.tokens.count)], at: place)
            default:
                let other = corpus[random(corpus.count)]
                let from = random(other.count)
                bytes.insert(contentsOf: other[from..<min(from + random(512), other.count)], at: place)
            }
        }
        return Array(bytes.prefix(longest))
    }
}
