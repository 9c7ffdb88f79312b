import Foundation
import NodeKit
import NodeTesting
import Testing

/// Shifts tables by a number: one of each kind of declaration.
private struct Shift: Node {
    static let type: NodeType = "test.shift"
    static let version = 1
    static let summary = "Adds a number."

    enum Mode: String, ParameterChoice { case add, subtract }

    @Input("What to shift.") var table: Table
    @Input("More of it.") var more: [Table]
    @Input("May be missing.") var extra: Table?
    @Parameter("How far.", in: 0...10) var by = 1.0
    @Parameter("Which way.", name: "how.mode") var mode = Mode.add
    @Output("The shifted table.") var shifted: Table

    func run(in context: NodeContext) throws {
        let sign = mode == .add ? 1.0 : -1.0
        let rows = ([table] + more).flatMap(\.values).map { (label: "", values: $0.map { $0 + sign * by }) }
        try $shifted.set(Table(columns: table.columns, rows: rows + (extra == nil ? [] : [("extra", [0])])))
    }
}

/// Makes a few frames, or fails on the way.
private struct Film: Node {
    static let type: NodeType = "test.film"
    static let version = 1
    static let summary = "Grey frames."

    @Parameter("Where to fail.") var last: Int? = nil
    @Output("The frames.") var video: Video

    func run(in context: NodeContext) throws {
        try $video.write(width: 64, height: 48, timeBase: Rational(1, 25), threads: context.threads) { frames in
            for index in 0..<20 {
                if index == last { throw NodeError("enough") }
                try frames.append([UInt8](repeating: UInt8(index), count: 64 * 48 * 3), at: Int64(index))
            }
            return 20
        }
    }
}

struct NodeTests {
    let bench: NodeBench
    init() throws { bench = try NodeBench() }

    private func table(_ value: Double) throws -> Artifact {
        try bench.artifact(Table(columns: [.init("x", unit: "px")], rows: [("a", [value])]))
    }

    @Test func declarationIsRead() {
        let description = NodeDefinition(Shift.self).description
        #expect(description.inputs.map(\.name) == ["table", "more", "extra"])
        #expect(description.inputs.map(\.type.name) == ["table", "list<table>", "table"])
        #expect(description.inputs.map(\.isOptional) == [false, false, true])
        #expect(description.parameters.map(\.name) == ["by", "how.mode"])
        #expect(description.parameter("by")?.schema.maximum == 10)
        #expect(description.parameter("how.mode")?.schema.kind == .choice(["add", "subtract"]))
        #expect(description.outputs.map(\.name) == ["shifted"])
    }

    @Test func valuesAreBound() throws {
        let outputs = try bench.run(
            Shift.self, inputs: ["table": table(1)], lists: ["more": [table(2), table(3)]],
            parameters: ["by": .integer(2), "how.mode": .string("subtract")])
        let result: Table = try outputs["shifted"]
        #expect(result.values == [[-1], [0], [1]])
        #expect(result.columns == [.init("x", unit: "px")])
    }

    /// What is written by hand is what an encoder writes, so that digests do not depend on the way.
    @Test(arguments: ["", "a/b", "ä \"q\" \\ \n\u{7F}"]) func tablesAreWrittenAsAnEncoderDoes(label: String) throws {
        struct Metadata: Encodable {
            var columns: [Table.Column]
            var labels: [String]
        }
        let columns = [Table.Column(label, unit: "px"), .init("y")]
        let made = try bench.artifact(Table(columns: columns, rows: [(label, [1, 2]), ("b", [3, 4])]))
        let encoded = try bench.artifact(.table) { writer in
            try writer.set(metadata: Metadata(columns: columns, labels: [label, "b"]))
            try writer.write("values", [1.0, 2, 3, 4], shape: [2, 2])
        }
        #expect(made.digest == encoded.digest)
        let read = try Table(artifact: made)
        #expect(read.columns == columns && read.labels == [label, "b"] && read.values == [[1, 2], [3, 4]])
    }

    @Test func framesWrittenBesideTheirMakerAreTheSame() throws {
        let made = try [1, 2, 3].map { try #require(try bench.run(Film.self, threads: $0).artifacts["video"]) }
        #expect(Set(made.map(\.digest)).count == 1)
        #expect(Set(try made.map { try Data(contentsOf: URL(filePath: $0.path)) }).count == 1)
        #expect(throws: NodeError.self) { try bench.run(Film.self, parameters: ["last": .integer(7)], threads: 2) }
    }

    @Test func equalValuesHaveEqualDigests() throws {
        #expect(try table(4).digest == table(4).digest)
        #expect(try table(4).digest != table(5).digest)
        let artifact = try table(4)
        #expect(try Artifact.digest(ofFile: artifact.path, isTensorFile: true) == artifact.digest)
    }

    @Test func aDamagedInputNamesThePort() throws {
        let artifact = try table(1)
        let wrong = Artifact(type: .pose, path: artifact.path, digest: artifact.digest)
        #expect(throws: (any Error).self) { try ValueCatalog.open(wrong) }
    }

    @Test func aVideoIsCutByFrames() throws {
        let clip = try bench.artifact(.video) { writer in
            let frames = try FrameWriter(writer, width: 2, height: 1, timeBase: Rational(1, 30))
            for i in 0..<5 { try frames.append([UInt8](repeating: UInt8(i), count: 6), at: Int64(i * 2)) }
            try frames.finish(end: 11)
        }
        let path = "\(try bench.makeFolder())/cut.safetensors"
        let writer = try ArtifactWriter(path: path, type: .video)
        try ValueCatalog.slice(clip, frames: 1..<5, to: writer)
        let cut = try Video(artifact: Artifact(type: .video, path: path, digest: try writer.finish(sync: false)))
        #expect(cut.timeline.timestamps == [2, 4, 6, 8])
        #expect(cut.timeline.end == 11)
        #expect(cut.frame(3) == [4, 4, 4, 4, 4, 4])
        #expect(throws: NodeError.self) {
            try ValueCatalog.slice(clip, frames: 2..<6, to: ArtifactWriter(path: "\(path)2", type: .video))
        }
    }

    /// Pieces above and below what a second thread is worth, and more than the disk is told to begin with at once.
    @Test func oneThreadAndTwoMakeTheSameFile() throws {
        let pieces = [3 << 20, 17, 5 << 20, 1 << 20, 1, 2 << 20].enumerated().map { index, count in
            [UInt8](unsafeUninitializedCapacity: count) { buffer, made in
                for byte in 0..<count { buffer[byte] = UInt8(truncatingIfNeeded: byte &* 31 &+ index) }
                made = count
            }
        }
        let folder = try bench.makeFolder()
        let files = try [1, 2].map { threads in
            let path = "\(folder)/\(threads).safetensors"
            let writer = try ArtifactWriter(path: path, type: .tensor, threads: threads)
            writer.begin("bytes", dtype: .u8, elementShape: [])
            for piece in pieces { try writer.append(piece) }
            #expect(try writer.finish() == Artifact.digest(ofFile: path, isTensorFile: true))
            return try Data(contentsOf: URL(filePath: path))
        }
        #expect(files[0] == files[1])
        #expect(files[0].suffix(pieces.map(\.count).reduce(0, +)) == Data(pieces.joined()))
    }

    /// Known answers of Philox 4×32-10 from the Random123 distribution.
    @Test func philoxMatchesItsKnownAnswers() {
        let zero = Randomness(seed: 0).words(at: 0)
        #expect([zero.0, zero.1, zero.2, zero.3] == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
        let ones = Randomness(seed: .max, stream: .max).words(at: .max)
        #expect([ones.0, ones.1, ones.2, ones.3] == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
    }

    @Test func normalsDependOnPositionOnly() {
        let random = Randomness(seed: 7)
        let all = random.normals(from: 0, count: 1000)
        #expect(Array(all[301..<400]) == random.normals(from: 301, count: 99))
        let mean = all.reduce(0, +) / 1000
        #expect(abs(mean) < 0.1)
    }

    @Test(arguments: [("24", Rational(24)), ("29.97", Rational(30000, 1001)), ("30000/1001", Rational(30000, 1001)), ("12.5", Rational(25, 2))])
    func ratesAreRead(text: String, rate: Rational) {
        #expect(Rational(parsing: text) == rate)
    }
}
