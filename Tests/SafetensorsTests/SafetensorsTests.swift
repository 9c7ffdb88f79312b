import Foundation
import Testing

@testable import Safetensors

struct SafetensorsTests {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "safetensors-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    @Test("a file cut short under its mapping ends the program with a message that names it")
    func cutFilesAreNamed() async throws {
        let name = path("cut")
        try Data(count: 1 << 20).write(to: URL(fileURLWithPath: name))
        let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) { [name = name as String] in
            CutFiles.report()
            let file = try MappedFile(path: name)
            truncate(name, 4096)
            file.withBytes { bytes in print(bytes[1 << 19]) }
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains("'\(name)' was cut short while it was read"))
    }

    @Test func streamedTensorsReadBack() throws {
        let writer = try SafetensorsWriter(path: path("a"), metadata: ["type": "video"])
        writer.begin("frames", dtype: .u8, elementShape: [2, 3])
        for frame in 0..<4 { try writer.append([UInt8](repeating: UInt8(frame), count: 6)) }
        try writer.write("stamps", [Int64](0..<4), shape: [4])
        try writer.finish(sync: true)

        let file = try SafetensorsFile(path: path("a"))
        #expect(file.metadata == ["type": "video"])
        #expect(try file.info("frames").shape == [4, 2, 3])
        #expect(try file.array("frames", of: UInt8.self).suffix(6) == [3, 3, 3, 3, 3, 3])
        #expect(try file.array("stamps", of: Int64.self, shape: [-1]) == [0, 1, 2, 3])
        #expect(throws: SafetensorsError.self) { try file.array("stamps", of: Float.self) }
        #expect(throws: SafetensorsError.self) { try file.array("stamp", of: Int64.self) }
        #expect(throws: SafetensorsError.self) { try file.array("stamps", of: Int64.self, shape: [5]) }
    }

    @Test("files of other kinds are told by their first bytes", arguments: [
        "PK\u{3}\u{4}archive/data.pkl": "PyTorch", "GGUF\u{3}\u{0}\u{0}\u{0}": "GGUF", "version https://git-lfs.github.com/spec/v1": "Git LFS pointer",
        "anything else of that length": "its header claims",
    ])
    func otherKinds(_ text: String, _ expected: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path("other")))
        #expect { _ = try SafetensorsFile(path: path("other")) } throws: { "\($0)".contains(expected) }
    }

    /// Digests are taken of the header in the form that `JSONSerialization` gives it.
    @Test(arguments: [["values"], ["tokens", "times", "mask"], ["a10", "a9", "B", "a", "A", "_x", "é", "1", "x.y", "x_y", "x-y", "q\"\\n", "t\n\u{1}"]])
    func headersAreCanonical(names: [String]) throws {
        let writer = try SafetensorsWriter(path: path("h"), metadata: ["understudy.meta": #"{"a":"b/c\n"}"#, "tab": "\t", "Z9": "", "z10": "ü"])
        for name in names { try writer.write(name, [Float](repeating: 1, count: 3), shape: [3, 1]) }
        let made = try writer.finish(sync: false, inMemoryBelow: 1 << 20)
        let object = try JSONSerialization.jsonObject(with: Data(made.header))
        let canonical = try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])
        #expect(String(decoding: made.header, as: UTF8.self) == String(decoding: canonical, as: UTF8.self))
        let file = try SafetensorsFile(file: MappedFile(contents: try #require(made.contents), path: "memory"))
        #expect(Set(file.tensors.keys) == Set(names))
        #expect(try file.array(names[0], of: Float.self) == [1, 1, 1])
        #expect(!FileManager.default.fileExists(atPath: path("h")))
    }

    /// Every prefix of a file is refused or reads without leaving the file.
    @Test func truncationsAreRefused() throws {
        let writer = try SafetensorsWriter(path: path("whole"), headerCapacity: 256)
        try writer.write("x", [Float](repeating: 1, count: 32), shape: [4, 8])
        try writer.finish(sync: false)
        let bytes = try Data(contentsOf: URL(filePath: path("whole")))
        for length in 0..<bytes.count {
            try bytes.prefix(length).write(to: URL(filePath: path("cut")))
            #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path("cut")) }
        }
    }

    @Test(arguments: [
        #"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#,
        #"{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        #"{"x":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#,
        #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
        #"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,3]}}"#,
        #"{"x":[1]}"#, #"{"__metadata__":{"a":1}}"#, "[]", "{", "",
    ])
    func hostileHeadersAreRefused(header: String) throws {
        var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        bytes += Data(header.utf8) + Data(count: 16)
        try bytes.write(to: URL(filePath: path("hostile")))
        #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path("hostile")) }
    }

    @Test func aHugeHeaderLengthIsRefused() throws {
        try Data(repeating: 0xff, count: 64).write(to: URL(filePath: path("huge")))
        #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path("huge")) }
    }

    @Test("a text that ends with one bracket too many is an error, and Foundation's decoder does not trap")
    func tooDeepForFoundation() {
        for depth in 510...516 {
            #expect(throws: DecodingError.self) { try JSONDecoder().decode([Int].self, text: Data(repeating: UInt8(ascii: "["), count: depth)) }
        }
    }
}
