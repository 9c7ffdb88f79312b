import Foundation
import Testing

@testable import Media

@Suite struct VideoTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    func write(
        _ name: String, _ images: [RasterImage], base: Rational, stamps: [Int64]? = nil, end: Int64? = nil,
        options: VideoWriter.Options = .init(), sound: [Float]? = nil
    ) throws -> String {
        let path = scratch.file(name)
        let size = FrameSize(images[0].width, images[0].height)
        let writer = try VideoWriter(path: path, size: size, timeBase: base, options: options)
        for (i, image) in images.enumerated() { try writer.write(image, ticks: stamps?[i] ?? Int64(i)) }
        if let sound { try writer.writeAudio(sound) }
        try writer.finish(end: end)
        return path
    }

    @Test(arguments: ["24", "25", "30000/1001", "30", "50"])
    func keepsStampsAndEndsWithItsSound(_ text: String) throws {
        let rate = try #require(Rational(text))
        var options = VideoWriter.Options()
        options.audio = .init(sampleRate: 48000)
        let seconds = Rational(50) / rate
        let samples = tone(Int((seconds * Rational(48000)).rounded), rate: 48000)
        let path = try write(
            "rate.mp4", (0..<50).map { numbered($0) }, base: rate.reciprocal, options: options, sound: samples)
        let reader = try VideoReader(path: path)
        let list = try frames(reader)
        #expect(list.count == 50)
        #expect(reader.warnings.isEmpty)
        #expect(reader.source.frameRate == rate)
        for (i, frame) in list.enumerated() {
            #expect(frame.time == Rational(Int64(i)) / rate)
            #expect(number(of: frame.image) == i % 28)
        }
        let end = Rational(try #require(reader.endTicks)) * reader.timeBase
        #expect(end == seconds)
        var audioOptions = AudioReader.Options()
        audioOptions.sampleRate = 48000
        let audio = try AudioReader(path: path, options: audioOptions)
        let decoded = try audio.readAll()
        #expect(audio.start == .zero)
        let length = Rational(Int64(decoded.count), 48000)
        #expect(abs((length - seconds).doubleValue) < 0.5 / rate.doubleValue, "sound \(length.doubleValue), picture \(seconds.doubleValue)")
        // The sound lies where it was put, to the sample: the best match of a shift is no shift.
        let best = (-64...64).min { errorAtShift($0, samples, decoded) < errorAtShift($1, samples, decoded) }
        #expect(best == 0)
    }

    func errorAtShift(_ shift: Int, _ a: [Float], _ b: [Float]) -> Float {
        (4096..<8192).reduce(0) { $0 + abs(a[$1] - b[$1 + shift]) }
    }

    @Test func keepsVaryingStampsExactly() throws {
        let stamps: [Int64] = [0, 1001, 1500, 4000, 4001, 9009, 12_012, 90_000]
        let path = try write(
            "vfr.mp4", stamps.indices.map { numbered($0) }, base: Rational(1, 30_000), stamps: stamps, end: 93_003)
        let reader = try VideoReader(path: path)
        let list = try frames(reader)
        #expect(list.map(\.time) == stamps.map { Rational($0, 30_000) })
        #expect(Rational(try #require(reader.endTicks)) * reader.timeBase == Rational(93_003, 30_000))
    }

    @Test func keepsALateFirstFrame() throws {
        let stamps: [Int64] = [7, 10, 11]
        var options = VideoWriter.Options()
        options.audio = .init(sampleRate: 16000)
        let path = try write(
            "late.mp4", stamps.indices.map { numbered($0) }, base: Rational(1001, 30_000), stamps: stamps, options: options,
            sound: tone(16000, rate: 16000))
        #expect(try frames(VideoReader(path: path)).map(\.time) == stamps.map { Rational($0 * 1001, 30_000) })
    }

    @Test func changesTheFrameRateByTimeStamp() throws {
        let path = try write("thirty.mp4", (0..<28).map { numbered($0) }, base: Rational(1, 30))
        for (text, selection) in [("24", FrameSelection.nearest), ("24", .atOrBefore), ("60", .nearest), ("30000/1001", .atOrBefore)] {
            var options = VideoReader.Options()
            let rate = try #require(Rational(text))
            options.frameRate = rate
            options.selection = selection
            let reader = try VideoReader(path: path, options: options)
            let list = try frames(reader)
            let expected = (Rational(28, 30) * rate).rounded
            #expect(list.count == Int(expected))
            #expect(reader.endTicks == expected)
            #expect(list.map(\.ticks) == Array(0..<expected))
            for frame in list {
                let position = Rational(frame.ticks) / rate * Rational(30)
                let wanted = selection == .atOrBefore ? position.floor : (position - Rational(1, 2)).ceil
                #expect(number(of: frame.image) == Int(min(27, wanted)), "\(text) \(selection) frame \(frame.ticks)")
            }
        }
    }

    @Test func readsARange() throws {
        let path = try write("range.mp4", (0..<200).map { numbered($0) }, base: Rational(1, 25))
        var options = VideoReader.Options()
        options.start = Rational("5.02")
        options.end = Rational(6)
        let reader = try VideoReader(path: path, options: options)
        let list = try frames(reader)
        // Frame 126 stands at 5.04 s, frame 149 at 5.96 s.
        #expect(list.map { number(of: $0.image) } == (126..<150).map { $0 % 28 })
        #expect(list.first?.time == Rational(2, 100))
        #expect(Rational(try #require(reader.endTicks)) * reader.timeBase == Rational(98, 100))
        options.frameRate = Rational(50)
        let faster = try frames(VideoReader(path: path, options: options))
        #expect(faster.count == 49)
        #expect(number(of: faster[0].image) == 125 % 28)
        options.start = Rational(60)
        options.end = nil
        #expect(throws: MediaError.self) { try frames(VideoReader(path: path, options: options)) }
        options.frameRate = nil
        #expect(throws: MediaError.self) { try VideoReader(path: path, options: options) }
    }

    /// A transport stream does not start at 0; a bare H.264 stream has no time stamps and cannot seek.
    @Test(arguments: ["ts", "mkv", "h264"]) func readsARangeOfOtherContainers(_ kind: String) throws {
        let film = try write("own.mp4", (0..<150).map { numbered($0) }, base: Rational(1, 25))
        let path = scratch.file("other.\(kind)")
        guard let worked = try ffmpeg(["-i", film, "-c", "copy", path]) else { return }
        try #require(worked)
        var options = VideoReader.Options()
        options.start = Rational(4)
        options.end = Rational(5)
        let list = try frames(VideoReader(path: path, options: options))
        #expect(list.map { number(of: $0.image) } == (100..<125).map { $0 % 28 })
        #expect(try frames(VideoReader(path: path)).count == 150)
    }

    @Test func turnsUprightAndKeepsOddSizes() throws {
        for (degrees, corners) in [
            (0, [0, 1, 2, 3]), (90, [2, 0, 3, 1]), (180, [3, 2, 1, 0]), (270, [1, 3, 0, 2]),
        ] {
            var options = VideoWriter.Options()
            options.rotation = degrees
            let path = try write("turn\(degrees).mp4", [quadrants(63, 41)], base: Rational(1, 25), options: options)
            let image = try #require(try VideoReader(path: path).next()).image
            #expect((image.width, image.height) == (degrees % 180 == 0 ? (64, 42) : (42, 64)))
            let (w, h) = (image.width, image.height)
            let found = [pixel(image, 8, 8), pixel(image, w - 9, 8), pixel(image, 8, h - 9), pixel(image, w - 9, h - 9)]
            let colors = [[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]]
            for (place, color) in corners.enumerated() {
                for c in 0..<3 { #expect(abs(found[place][c] - colors[color][c]) <= 4, "\(degrees)° corner \(place)") }
            }
        }
    }

    @Test func fits() throws {
        let path = try write("fit.mp4", [quadrants(64, 32)], base: Rational(1, 25))
        func read(_ fit: Fit) throws -> RasterImage {
            var options = VideoReader.Options()
            options.size = FrameSize(48, 48)
            options.fit = fit
            return try #require(try VideoReader(path: path, options: options).next()).image
        }
        let pad = try read(.pad)
        #expect(pixel(pad, 24, 5) == [0, 0, 0] && pixel(pad, 24, 42) == [0, 0, 0])
        #expect(pixel(pad, 4, 16)[0] > 180)
        let crop = try read(.crop)
        #expect(pixel(crop, 2, 2)[0] > 180 && pixel(crop, 45, 45)[2] < 60)
        let stretch = try read(.stretch)
        #expect(pixel(stretch, 2, 2)[0] > 180 && pixel(stretch, 45, 2)[1] > 180)
        var options = VideoReader.Options()
        options.align = 24
        #expect(try VideoReader(path: path, options: options).size == FrameSize(72, 24))
    }

    /// Masks and skeletons that other programs cut out: what is transparent there is black.
    @Test func transparentPartsShowTheBackdrop() throws {
        let png = scratch.file("cut.png"), film = scratch.file("cut.mov")
        let pixels = (0..<32 * 16).flatMap { i -> [UInt8] in i % 32 < 16 ? [255, 255, 255, 255] : [90, 90, 90, 0] }
        try PNGWriter.write(RasterImage(width: 32, height: 16, channels: 4, pixels: pixels), to: png)
        guard let worked = try ffmpeg(["-loop", "1", "-i", png, "-frames:v", "2", "-c:v", "png", film]) else { return }
        try #require(worked)
        for (backdrop, expected) in [(Backdrop.black, 0), (.white, 255)] {
            var options = VideoReader.Options()
            options.backdrop = backdrop
            let image = try #require(try VideoReader(path: film, options: options).next()).image
            #expect(pixel(image, 4, 4) == [255, 255, 255] && pixel(image, 28, 4) == [expected, expected, expected])
        }
    }

    @Test func losslessIsLossless() throws {
        var generator = SystemRandomNumberGenerator()
        let image = RasterImage(
            width: 37, height: 23, pixels: (0..<37 * 23 * 3).map { _ in UInt8.random(in: 0...255, using: &generator) })
        var options = VideoWriter.Options()
        options.codec = .lossless
        let path = try write("lossless.mp4", [image, image], base: Rational(1, 24), options: options)
        let list = try frames(VideoReader(path: path))
        #expect(list.count == 2 && list.allSatisfy { $0.image == image })
    }

    @Test func sameCallsSameBytesAndThreadsDoNotMatter() throws {
        let images = (0..<40).map { quadrants(64 + 2 * ($0 % 2) * 0, 48 + 0 * $0) }
        let a = try Data(contentsOf: URL(fileURLWithPath: write("a.mp4", images, base: Rational(1, 24))))
        let b = try Data(contentsOf: URL(fileURLWithPath: write("b.mp4", images, base: Rational(1, 24))))
        #expect(a == b)
        #expect(a.range(of: Data("x264".utf8)) == nil && a.range(of: Data("Lavf".utf8)) == nil)
        var options = VideoReader.Options()
        options.threads = 4
        let one = try frames(VideoReader(path: scratch.file("a.mp4"))).map(\.image)
        let four = try frames(VideoReader(path: scratch.file("a.mp4"), options: options)).map(\.image)
        #expect(one == four)
    }

    @Test func refusesNonsense() throws {
        let path = try write("ok.mp4", [numbered(0)], base: Rational(1, 24))
        var options = VideoReader.Options()
        options.start = Rational(2)
        options.end = Rational(1)
        #expect(throws: MediaError.self) { try VideoReader(path: path, options: options) }
        #expect(throws: MediaError.self) { try VideoReader(path: scratch.file("none.mp4")) }
        #expect(throws: MediaError.self) { try VideoReader(path: scratch.path) }
        #expect(throws: MediaError.self) { try AudioReader(path: path) }
        let writer = try VideoWriter(path: scratch.file("w.mp4"), size: FrameSize(64, 48), timeBase: Rational(1, 24))
        try writer.write(numbered(0), ticks: 3)
        #expect(throws: MediaError.self) { try writer.write(numbered(0), ticks: 3) }
        #expect(throws: MediaError.self) { try writer.write(numbered(0, 32), ticks: 4) }
        #expect(throws: MediaError.self) { try writer.writeAudio([0]) }
        writer.cancel()
        #expect(!FileManager.default.fileExists(atPath: scratch.file("w.mp4")))
    }
}
