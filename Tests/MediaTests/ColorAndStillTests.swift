import Foundation
import Testing

@testable import Media

@Suite struct ColorAndStillTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    static let patches: [[UInt8]] = [
        [255, 255, 255], [0, 0, 0], [128, 128, 128], [255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 120, 90], [40, 90, 160],
    ]

    @Test func ownFilmsKeepColour() throws {
        for color in Self.patches {
            let path = scratch.file("patch.mp4")
            let writer = try VideoWriter(path: path, size: FrameSize(64, 48), timeBase: Rational(1, 25))
            for i in 0..<3 { try writer.write(flat(64, 48, color), ticks: Int64(i)) }
            try writer.finish()
            let found = pixel(try #require(try VideoReader(path: path).next()).image, 31, 23)
            for c in 0..<3 { #expect(abs(found[c] - Int(color[c])) <= 2, "\(color) came back as \(found)") }
        }
    }

    /// Files made by FFmpeg's own program with each matrix and range, told and untold.
    @Test(arguments: [
        ("bt709", "tv", true), ("bt709", "pc", true), ("smpte170m", "tv", true), ("smpte170m", "pc", true),
        ("bt2020nc", "tv", true), ("smpte170m", "tv", false),
    ])
    func foreignFilmsKeepColour(_ matrix: String, _ range: String, _ isTagged: Bool) throws {
        for color in Self.patches {
            let png = scratch.file("p.png")
            try PNGWriter.write(flat(64, 48, color), to: png)
            let film = scratch.file("p.mkv")
            let name = ["smpte170m": "bt601", "bt2020nc": "bt2020"][matrix] ?? matrix
            let tags = isTagged ? ["-colorspace", matrix, "-color_range", range] : []
            // FFV1 is lossless: what differs comes from the conversion alone.
            guard
                let worked = try ffmpeg(
                    ["-i", png, "-vf", "scale=out_color_matrix=\(name):out_range=\(range):flags=accurate_rnd+full_chroma_int,format=yuv420p"]
                        + tags + ["-c:v", "ffv1", film])
            else { return }
            try #require(worked)
            let found = pixel(try #require(try VideoReader(path: film).next()).image, 31, 23)
            for c in 0..<3 { #expect(abs(found[c] - Int(color[c])) <= 3, "\(matrix) \(range): \(color) came back as \(found)") }
        }
    }

    @Test func untaggedLargeFilmsAreBT709() throws {
        let png = scratch.file("p.png")
        try PNGWriter.write(flat(1280, 720, [200, 40, 60]), to: png)
        let film = scratch.file("p.mkv")
        guard let worked = try ffmpeg(["-i", png, "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-c:v", "ffv1", film])
        else { return }
        try #require(worked)
        let found = pixel(try #require(try VideoReader(path: film).next()).image, 600, 300)
        for (a, b) in zip(found, [200, 40, 60]) { #expect(abs(a - b) <= 3, "\(found)") }
    }

    @Test func pngKeepsPixels() throws {
        for channels in [1, 3, 4] {
            let image = RasterImage(
                width: 19, height: 7, channels: channels, pixels: (0..<19 * 7 * channels).map { UInt8($0 * 37 % 256) })
            let bytes = try PNGWriter.encode(image)
            #expect(try PNGWriter.encode(image) == bytes)
            let back = try ImageReader.decode(bytes, name: "a.png")
            let expected: [UInt8] = (0..<19 * 7).flatMap { i -> [UInt8] in
                let p = (0..<channels).map { Int(image.pixels[i * channels + $0]) }
                guard channels == 4 else { return (0..<3).map { UInt8(p[channels == 1 ? 0 : $0]) } }
                return (0..<3).map { UInt8((p[$0] * p[3] + 255 * (255 - p[3]) + 127) / 255) }
            }
            #expect(back.pixels == expected)
        }
    }

    @Test func jpegAndWebPAndTheirOrientation() throws {
        let png = scratch.file("q.png")
        try PNGWriter.write(quadrants(64, 32), to: png)
        for name in ["q.jpg", "q.webp"] {
            let path = scratch.file(name)
            guard let worked = try ffmpeg(["-i", png, "-q:v", name == "q.jpg" ? "1" : "100", path]) else { return }
            try #require(worked)
            let image = try ImageReader.read(path: path)
            #expect((image.width, image.height) == (64, 32))
            for (a, b) in zip(pixel(image, 8, 8), [200, 30, 30]) { #expect(abs(a - b) <= 6, "\(name)") }
        }
        // An EXIF block that says orientation 6: turn a quarter clockwise to look at it.
        var jpeg = [UInt8](try Data(contentsOf: URL(fileURLWithPath: scratch.file("q.jpg"))))
        let exif: [UInt8] = Array("Exif\0\0MM".utf8) + [0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]
        jpeg.insert(contentsOf: [0xFF, 0xE1, 0, UInt8(exif.count + 2)] + exif, at: 2)
        let turned = try ImageReader.decode(jpeg, name: "turned.jpg")
        #expect((turned.width, turned.height) == (32, 64))
        // The red left top corner comes to the right top.
        for (a, b) in zip(pixel(turned, 24, 8), [200, 30, 30]) { #expect(abs(a - b) <= 6) }
        for (a, b) in zip(pixel(turned, 8, 8), [30, 30, 200]) { #expect(abs(a - b) <= 6) }
    }

    /// EXIF of a PNG and of a TIFF, in either byte order, and AVIF's own boxes: the same picture lying on its side, to be turned clockwise.
    @Test func otherFormatsHaveAnOrientationToo() throws {
        let upright = quadrants(16, 32), lying = RasterImage(
            width: 32, height: 16, pixels: (0..<16 * 32).flatMap { i in pixel(upright, 15 - i / 32, i % 32).map(UInt8.init) })
        func check(_ bytes: [UInt8], _ name: String, tolerance: Int = 0) throws {
            let image = try ImageReader.decode(bytes, name: name)
            try #require((image.width, image.height) == (16, 32), "\(name)")
            #expect(zip(image.pixels, upright.pixels).allSatisfy { abs(Int($0) - Int($1)) <= tolerance }, "\(name)")
        }
        func number(_ value: Int, _ count: Int, _ isLittle: Bool) -> [UInt8] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
            return isLittle ? bytes : bytes.reversed()
        }
        /// A directory at the beginning of a TIFF structure; values of one 16-bit or 32-bit number.
        func directory(_ entries: [(tag: Int, value: Int)], isLittle: Bool) -> [UInt8] {
            var bytes = Array((isLittle ? "II" : "MM").utf8) + number(42, 2, isLittle) + number(8, 4, isLittle) + number(entries.count, 2, isLittle)
            for (tag, value) in entries {
                bytes += number(tag, 2, isLittle) + number(tag == 273 || tag == 279 ? 4 : 3, 2, isLittle) + number(1, 4, isLittle)
                bytes += tag == 273 || tag == 279 ? number(value, 4, isLittle) : number(value, 2, isLittle) + [0, 0]
            }
            return bytes + [0, 0, 0, 0]
        }
        for isLittle in [true, false] {
            let exif = directory([(274, 6)], isLittle: isLittle)
            var chunk = Array("eXIf".utf8) + exif
            chunk = number(exif.count, 4, false) + chunk + number(Int(crc(chunk)), 4, false)
            var png = try PNGWriter.encode(lying)
            png.insert(contentsOf: chunk, at: 33)
            try check(png, "\(isLittle).png")
            let tags = [(256, 32), (257, 16), (258, 8), (259, 1), (262, 2), (273, 0), (274, 6), (277, 3), (278, 16), (279, lying.pixels.count)]
            let size = directory(tags, isLittle: isLittle).count
            try check(directory(tags.map { $0.0 == 273 ? (273, size) : $0 }, isLittle: isLittle) + lying.pixels, "\(isLittle).tiff")
        }
        try check([UInt8](try #require(Data(base64Encoded: Self.avif, options: .ignoreUnknownCharacters))), "a.avif", tolerance: 6)
    }

    private func crc(_ bytes: [UInt8]) -> UInt32 {
        var crc = ~UInt32(0)
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }

    /// The lying picture with EXIF's orientation 6, as Pillow writes it.
    private static let avif = """
        AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAAD1bWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAOcGl0bQAAAAAA \
        AQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAEdAAAAMgAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAAB0aXBycAAAAFRpcGNvAAAA \
        FGlzcGUAAAAAAAAAIAAAABAAAAAQcGl4aQAAAAADCAgIAAAADGF2MUOBIAAAAAAAE2NvbHJuY2x4AAEADQAGgAAAAAlpcm90AwAAABhpcG1hAAAAAAAAAAEA \
        AQUBAoMEhQAAADptZGF0EgAKCDgQ/+0gIaDSMiREQIjUoAA8gAEA7OjxF1mXGbITGABG+cq6WRKXYJMGKbrx+s4=
        """

    @Test func soundKeepsLevelLengthAndPlace() throws {
        let path = scratch.file("s.wav")
        let rate = 44_100
        let mono = tone(rate * 2, rate: rate)
        try WAVWriter.write(mono.flatMap { [$0, $0] }, sampleRate: rate, channels: 2, format: .float32, to: path)
        let reader = try AudioReader(path: path)
        let samples = try reader.readAll()
        #expect(samples.count == 32_000)
        #expect(reader.source.channels == 2)
        let expected = tone(32_000, rate: 16_000)
        let error = (500..<31_500).map { abs(samples[$0] - expected[$0]) }.max() ?? 1
        #expect(error < 2e-3)

        var options = AudioReader.Options()
        options.start = Rational(1, 4)
        options.end = Rational(1)
        let part = try AudioReader(path: path, options: options).readAll()
        #expect(part == Array(samples[4000..<16_000]))
        let pcm = scratch.file("p.wav")
        try WAVWriter.write([0, 0.5, -1, 2, .nan], sampleRate: 16_000, to: pcm)
        #expect(try AudioReader(path: pcm).readAll().map { ($0 * 32768).rounded() } == [0, 16384, -32767, 32767, 0])
    }

    @Test func rationals() {
        #expect(Rational("30000/1001")?.description == "30000/1001")
        #expect(Rational("23.976") == Rational(2997, 125))
        #expect(Rational("-1.5") == Rational(-3, 2) && Rational("-0.5") == Rational(-1, 2))
        #expect(Rational("x") == nil && Rational("1/0") == nil && Rational("1.2.3") == nil && Rational("") == nil)
        #expect(Rational(-7, 2).floor == -4 && Rational(-7, 2).ceil == -3 && Rational(-7, 2).rounded == -3)
        let huge = Rational(.max, 3) * Rational(.max, 7) + Rational(.min, 1)
        #expect(huge > Rational(1))
    }
}
