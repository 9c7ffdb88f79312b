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
}
