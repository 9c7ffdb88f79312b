import Foundation
import Testing

@testable import Media

@Suite struct DamagedFileTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    /// What came of a file.
    struct Outcome {
        var frames = 0
        var samples = 0
        /// Whether anything was told: an error, or a warning.
        var isFlagged = false
    }

    /// Asks everything that can be asked of a file; only errors may come of it.
    @discardableResult func exhaust(_ path: String) -> Outcome {
        var outcome = Outcome()
        func attempt(_ body: () throws -> [String]) {
            do {
                if try !body().isEmpty { outcome.isFlagged = true }
            } catch {
                #expect(error is MediaError, "\(error)")
                outcome.isFlagged = true
            }
        }
        let info = try? MediaInfo(path: path)
        if info?.video != nil || info?.audio == nil {
            attempt {
                let reader = try VideoReader(path: path)
                while let frame = try reader.next() {
                    outcome.frames += 1
                    #expect(frame.image.pixels.count == frame.image.width * frame.image.height * 3)
                }
                return reader.warnings
            }
        }
        if info?.audio != nil {
            attempt {
                let reader = try AudioReader(path: path)
                outcome.samples = try reader.readAll().count
                return reader.warnings
            }
        }
        do { _ = try ImageReader.read(path: path) } catch { #expect(error is MediaError, "\(error)") }
        return outcome
    }

    /// A fixed sequence of numbers, so that a failure can be seen again.
    struct Sequence {
        var state: UInt64
        mutating func next(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % below
        }
    }

    /// How the `ffmpeg` program makes a small file of each format; three seconds where there is time in it.
    static let formats: [(name: String, options: String)] = {
        let picture = "-f lavfi -i testsrc2=size=64x48:rate=10:duration=3"
        let sound = "-f lavfi -i sine=frequency=440:sample_rate=16000:duration=3"
        return [
            ("mp4", "\(picture) \(sound) -c:v libx264 -g 5 -c:a aac"), ("mov", "\(picture) \(sound) -c:v mjpeg -c:a pcm_s16le"),
            ("mkv", "\(picture) \(sound) -c:v libx264 -g 5 -c:a libvorbis"), ("webm", "\(picture) \(sound) -c:v libvpx -c:a libvorbis"),
            ("avi", "\(picture) \(sound) -c:v mpeg4 -c:a libmp3lame"), ("ts", "\(picture) \(sound) -c:v mpeg2video -c:a mp2"),
            ("gif", picture), ("png", "\(picture) -frames:v 1"), ("jpg", "\(picture) -frames:v 1"), ("webp", "\(picture) -frames:v 1"),
            ("wav", sound), ("flac", sound), ("mp3", sound), ("ogg", "\(sound) -c:a libvorbis"),
        ]
    }()

    @Test("cut short or with flipped bytes: an error, or what is left of it with a warning", arguments: formats.map(\.name))
    func damagedFormats(name: String) throws {
        let options = try #require(Self.formats.first { $0.name == name }?.options)
        let whole = scratch.file("whole.\(name)")
        let program = Process()
        program.executableURL = URL(filePath: "/usr/bin/env")
        program.arguments = ["ffmpeg", "-v", "error", "-bitexact"] + options.split(separator: " ").map(String.init) + [whole]
        try program.run()
        program.waitUntilExit()
        try #require(program.terminationStatus == 0)
        let data = [UInt8](try Data(contentsOf: URL(filePath: whole)))
        let sound = exhaust(whole)
        #expect(!sound.isFlagged && (sound.frames > 0 || sound.samples > 0))

        let damaged = scratch.file("damaged.\(name)")
        for step in 1..<20 {
            try Data(data[..<(data.count * step / 20)]).write(to: URL(filePath: damaged))
            let rest = exhaust(damaged)
            let isShorter = rest.frames < sound.frames - 5 || rest.samples < sound.samples - 8000
            #expect(rest.isFlagged || !isShorter || Self.endless.contains(name), "cut to \(step)/20: \(rest) of \(sound)")
            #expect(rest.frames <= sound.frames && rest.samples <= sound.samples + 4800, "cut to \(step)/20: \(rest) of \(sound)")
        }
        var sequence = Sequence(state: UInt64(name.utf8.reduce(7) { $0 * 31 + Int($1) }))
        for _ in 0..<30 {
            var bytes = data
            for _ in 0...sequence.next(20) { bytes[sequence.next(bytes.count)] = UInt8(sequence.next(256)) }
            try Data(bytes).write(to: URL(filePath: damaged))
            exhaust(damaged)
        }
    }

    /// Formats that nowhere say how long they are, so that a cut between two frames is no damage.
    static let endless: Set<String> = ["ts", "gif", "mp3", "ogg"]

    @Test func emptyFileIsNamed() throws {
        let path = scratch.file("empty.mp4")
        try Data().write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: MediaError.self) { try VideoReader(path: path) }
        #expect(error?.description.contains("0 bytes") == true)
    }

    @Test("films and archives that cannot be created say where and why") func uncreatableFiles() throws {
        try FileManager.default.createDirectory(atPath: scratch.file("place"), withIntermediateDirectories: true)
        for (path, reason) in [(scratch.file("none/film"), "No such file or directory"), (scratch.file("place"), "Is a directory")] {
            for attempt in [
                { _ = try VideoWriter(path: path, size: FrameSize(16, 16), timeBase: Rational(1, 25)) }, { _ = try TarWriter(path: path) },
            ] {
                let error = #expect(throws: MediaError.self) { try attempt() }
                #expect(error?.description == "\(path): cannot create the file: \(reason)")
            }
        }
    }

    @Test func cutAndFlippedFilms() throws {
        let whole = scratch.file("whole.mp4")
        var options = VideoWriter.Options()
        options.audio = .init(sampleRate: 16000)
        let writer = try VideoWriter(path: whole, size: FrameSize(64, 48), timeBase: Rational(1, 25), options: options)
        for i in 0..<60 { try writer.write(quadrants(64, 48 + 0 * i), ticks: Int64(i)) }
        try writer.writeAudio(tone(38_400, rate: 16000))
        try writer.finish()
        let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: whole)))
        #expect(exhaust(whole).frames == 60)
        let cut = scratch.file("cut.mp4")
        for step in 0..<60 {
            let length = data.count * step / 60 + (step == 0 ? 1 : 0)
            try Data(data[0..<length]).write(to: URL(fileURLWithPath: cut))
            #expect(exhaust(cut).frames <= 60)
        }
        var sequence = Sequence(state: 7)
        for _ in 0..<150 {
            var damaged = data
            for _ in 0...sequence.next(20) { damaged[sequence.next(damaged.count)] = UInt8(sequence.next(256)) }
            try Data(damaged).write(to: URL(fileURLWithPath: cut))
            exhaust(cut)
        }
    }

    @Test func cutPictures() throws {
        let png = try PNGWriter.encode(quadrants(40, 30))
        for length in stride(from: 1, to: png.count, by: max(1, png.count / 40)) {
            #expect(throws: MediaError.self) { try ImageReader.decode(Array(png[0..<length]), name: "cut.png") }
        }
        #expect(throws: MediaError.self) { try ImageReader.decode([], name: "empty.png") }
    }

    /// FFmpeg fills what is missing of a JPEG with grey, and says nothing.
    @Test(arguments: [false, true]) func cutJPEGs(hasThumbnail: Bool) throws {
        let png = scratch.file("q.png"), path = scratch.file("q.jpg")
        try PNGWriter.write(quadrants(160, 120), to: png)
        guard let worked = try ffmpeg(["-i", png, "-vf", "noise=alls=40:allf=u", "-q:v", "3", path]) else { return }
        try #require(worked)
        var jpeg = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        #expect(try ImageReader.decode(jpeg + Array("trailing".utf8), name: "whole.jpg").width == 160)
        // A thumbnail's end is not the picture's: one in a comment.
        if hasThumbnail { jpeg.insert(contentsOf: [0xFF, 0xFE, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9], at: 2) }
        #expect(try ImageReader.decode(jpeg, name: "whole.jpg").width == 160)
        for length in stride(from: 30, to: jpeg.count - 1, by: max(1, jpeg.count / 40)) {
            #expect(throws: MediaError.self, "\(length) of \(jpeg.count)") { try ImageReader.decode(Array(jpeg[0..<length]), name: "cut.jpg") }
        }
    }

    @Test func playlistsOpenNothingElse() throws {
        let other = scratch.file("other.png")
        try PNGWriter.write(quadrants(16, 16), to: other)
        let list = scratch.file("list.m3u8")
        try "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.png\n#EXT-X-ENDLIST\n"
            .write(toFile: list, atomically: true, encoding: .utf8)
        #expect(throws: MediaError.self) { try VideoReader(path: list) }
        let concat = scratch.file("list.txt")
        try "ffconcat version 1.0\nfile other.png\n".write(toFile: concat, atomically: true, encoding: .utf8)
        #expect(throws: MediaError.self) { try VideoReader(path: concat) }
    }
}
