import Foundation
import Media
import MediaFilesNode
import NodeKit
import NodeTesting
import Testing

@Suite struct MediaFilesTests {
    let bench: NodeBench
    init() throws { bench = try NodeBench() }

    func frame(_ index: Int, _ width: Int = 64, _ height: Int = 48) -> [UInt8] {
        [UInt8](repeating: UInt8(16 + index % 28 * 8), count: width * height * 3)
    }

    func video(_ count: Int, base: NodeKit.Rational, stamps: [Int64]? = nil, end: Int64? = nil) throws -> Artifact {
        try bench.artifact(.video) { writer in
            let frames = try FrameWriter(writer, width: 64, height: 48, timeBase: base)
            for i in 0..<count { try frames.append(frame(i), at: stamps?[i] ?? Int64(i)) }
            try frames.finish(end: end ?? Int64(count))
        }
    }

    func tone(_ count: Int, _ rate: Int) -> [Float] {
        (0..<count).map { Float(0.5 * sin(2 * Double.pi * 440 * Double($0) / Double(rate))) }
    }

    @Test func filmsComeBackInTime() throws {
        let base = NodeKit.Rational(1001, 30_000)
        let seconds: Double = 60 * base.value
        let audio = try bench.artifact(Audio(sampleRate: 16_000, samples: tone(16_000 * 4, 16_000)))
        let film = try #require(
            try bench.run(VideoEncode.self, inputs: ["video": video(60, base: base), "audio": audio]).artifacts["file"])
        #expect(film.path.hasSuffix(".mp4"))
        let back: Video = try bench.run(VideoDecode.self, inputs: ["file": film])["video"]
        #expect(back.count == 60)
        #expect(abs(back.timeline.duration - seconds) < 1e-9)
        for i in 0..<60 {
            let difference = Int(back.frame(i)[300]) - Int(frame(i)[0])
            #expect(abs(difference) <= 3)
        }
        let sound: Audio = try bench.run(
            AudioDecode.self,
            inputs: ["file": film, "video": try bench.artifact(.video) { try back.write(frames: 0..<60, to: $0) }])["audio"]
        // Four seconds were handed over; the film cuts them where its frames end.
        #expect(abs(sound.duration - seconds) < base.value / 2)
        #expect(sound.frameTimes == back.timeline)
    }

    @Test func cutFilmsStartAtTheirFirstFrame() throws {
        let stamps: [Int64] = [72, 73, 75, 80]
        let source = try video(4, base: NodeKit.Rational(1, 24), stamps: stamps, end: 84)
        let audio = try bench.artifact(Audio(sampleRate: 16_000, start: NodeKit.Rational(3), samples: tone(16_000, 16_000)))
        let film = try #require(try bench.run(VideoEncode.self, inputs: ["video": source, "audio": audio]).artifacts["file"])
        let reader = try VideoReader(path: film.path)
        var times: [Media.Rational] = []
        while let frame = try reader.next() { times.append(frame.time) }
        #expect(times == stamps.map { Media.Rational($0 - 72, 24) })
        let samples = try AudioReader(path: film.path).readAll()
        #expect(abs(samples.count - 8000) < 16_000 / 48)
        let expected = tone(16_000, 16_000)
        for i in 1000..<4000 where abs(samples[i] - expected[i]) >= 0.1 { Issue.record("sample \(i) is off") }
    }

    @Test func takesOverASoundtrack() throws {
        let wav = "\(bench.folder)/stereo.wav"
        let left = tone(88_200, 44_100)
        try WAVWriter.write(left.flatMap { [$0, -$0 / 2] }, sampleRate: 44_100, channels: 2, to: wav)
        let film = try #require(
            try bench.run(
                VideoEncode.self,
                inputs: ["video": video(24, base: NodeKit.Rational(1, 24)), "soundtrack": bench.file(wav)],
                parameters: ["soundtrackStart": .number(0.5)]
            ).artifacts["file"])
        var options = AudioReader.Options()
        options.channels = 2
        options.sampleRate = 44_100
        let reader = try AudioReader(path: film.path, options: options)
        let samples = try reader.readAll()
        #expect(reader.source.channels == 2)
        let seconds = Double(samples.count) / 2 / 44_100
        #expect(abs(seconds - 1) < 0.5 / 24)
        for i in stride(from: 4000, to: 40_000, by: 1001) {
            let expected: Float = left[22_050 + i]
            let (first, second): (Float, Float) = (samples[2 * i], samples[2 * i + 1])
            #expect(abs(first - expected) < 0.05)
            #expect(abs(second + expected / 2) < 0.05)
        }
    }

    @Test func losslessAndPicturesKeepEveryPixel() throws {
        let source = try video(3, base: NodeKit.Rational(1, 24))
        let film = try bench.run(VideoEncode.self, inputs: ["video": source], parameters: ["codec": .string("lossless")])
        let back: Video = try bench.run(VideoDecode.self, inputs: ["file": try #require(film.artifacts["file"])])["video"]
        for i in 0..<3 { #expect(back.frame(i) == frame(i)) }
        let maps = try bench.artifact(.maps) { writer in
            let frames = try FrameWriter(writer, width: 64, height: 48, timeBase: NodeKit.Rational(1, 24))
            for i in 0..<3 { try frames.append(frame(i), at: Int64(i)) }
            try frames.finish(end: 3)
        }
        let tar = try #require(
            try bench.run(MapsEncode.self, inputs: ["maps": maps], parameters: ["codec": .string("png")]).artifacts["file"])
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: tar.path)))
        #expect(bytes.count.isMultiple(of: 512))
        #expect(String(decoding: bytes[0..<16], as: UTF8.self) == "frame_000000.png")
        let size = try #require(Int(String(decoding: bytes[124..<135], as: UTF8.self), radix: 8))
        let picture = try ImageReader.decode(Array(bytes[512..<512 + size]), name: "first")
        #expect(picture.pixels == frame(0))
    }

    @Test func decodesAtAnotherRateAndSize() throws {
        let film = try #require(
            try bench.run(VideoEncode.self, inputs: ["video": video(30, base: NodeKit.Rational(1, 30))]).artifacts["file"])
        let back: Video = try bench.run(
            VideoDecode.self, inputs: ["file": film],
            parameters: ["fps": .integer(24), "size": .string("32x32"), "fit": .string("crop"), "start": .number(0.5)])["video"]
        #expect(back.count == 12 && back.width == 32 && back.height == 32)
        #expect(back.timeline == Timeline(rate: NodeKit.Rational(24), count: 12))
        let aligned: Video = try bench.run(VideoDecode.self, inputs: ["file": film], parameters: ["align": .integer(32)])["video"]
        #expect(aligned.width == 64 && aligned.height == 64)
    }

    /// What the packets say of the frames is what decoding gives: at even and uneven distances, cut, and at another rate.
    @Test func timesAreKnownWithoutDecoding() throws {
        let uneven: [Int64] = [0, 2, 3, 7, 8, 9, 15, 16, 20, 21, 22, 30, 31, 33, 36, 40, 41, 42, 50, 51]
        let clip = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/clip.mp4").path
        var films = [clip]
        for (stamps, end) in [(Array(0..<48), 48), (uneven, 53)] as [([Int64], Int64)] {
            let source = try video(stamps.count, base: NodeKit.Rational(1, 24), stamps: stamps, end: end)
            films.append(try #require(try bench.run(VideoEncode.self, inputs: ["video": source]).artifacts["file"]).path)
        }
        for film in films {
            for (rate, start, end) in [(nil, 0, nil), (24, 0, nil), (30, 0.3, 1.1), (nil, 0.5, 1.2), (nil, 1.3, nil), (10, 1.2, nil)] as [(Int64?, Double, Double?)] {
                var options = VideoReader.Options()
                options.frameRate = rate.map { Media.Rational($0, 1) }
                options.start = start > 0 ? Media.Rational(seconds: start) : nil
                options.end = end.flatMap { Media.Rational(seconds: $0) }
                guard let reader = try? VideoReader(path: film, options: options) else { continue }
                var ticks: [Int64] = []
                while let frame = try reader.next() { ticks.append(frame.ticks) }
                let times = try VideoReader.times(path: film, options: options)
                #expect(times.ticks == ticks && times.end == reader.endTicks, "\(film) \(rate ?? 0) \(start)")
            }
        }
    }

    @Test func missingSoundIsAnErrorOrSilence() throws {
        let film = try #require(
            try bench.run(VideoEncode.self, inputs: ["video": video(36, base: NodeKit.Rational(1, 24))]).artifacts["file"])
        let error = #expect(throws: NodeError.self) { try bench.run(AudioDecode.self, inputs: ["file": film]) }
        #expect(error?.message.contains("missing: silence") == true)
        let quiet: Audio = try bench.run(
            AudioDecode.self, inputs: ["file": film], parameters: ["missing": .string("silence")])["audio"]
        #expect(quiet.samples == [Float](repeating: 0, count: 24_000))
    }

    @Test func loadsPictures() throws {
        let path = "\(bench.folder)/p.png"
        try PNGWriter.write(RasterImage(width: 4, height: 2, pixels: (0..<24).map { UInt8($0 * 10) }), to: path)
        let image: Image = try bench.run(ImageLoad.self, inputs: ["file": bench.file(path)])["image"]
        #expect(image.pixels == (0..<24).map { UInt8($0 * 10) } && image.width == 4)
        #expect(throws: NodeError.self) {
            try bench.run(ImageLoad.self, inputs: ["file": bench.artifact(Audio(sampleRate: 8000, samples: [0]))])
        }
    }
}
