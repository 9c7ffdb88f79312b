import Foundation
import Testing

@testable import Media

@Suite struct DamagedFileTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    /// Everything that can be asked of a file; only errors may come of it.
    func exhaust(_ path: String) -> Int {
        var count = 0
        do {
            let reader = try VideoReader(path: path)
            while let frame = try reader.next() {
                count += 1
                #expect(frame.image.pixels.count == frame.image.width * frame.image.height * 3)
            }
            _ = reader.warnings
        } catch {
            #expect(error is MediaError, "\(error)")
        }
        do { _ = try AudioReader(path: path).readAll() } catch { #expect(error is MediaError, "\(error)") }
        do { _ = try ImageReader.read(path: path) } catch { #expect(error is MediaError, "\(error)") }
        return count
    }

    @Test func emptyFileIsNamed() throws {
        let path = scratch.file("empty.mp4")
        try Data().write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: MediaError.self) { try VideoReader(path: path) }
        #expect(error?.description.contains("0 bytes") == true)
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
        #expect(exhaust(whole) == 60)
        let cut = scratch.file("cut.mp4")
        for step in 0..<60 {
            let length = data.count * step / 60 + (step == 0 ? 1 : 0)
            try Data(data[0..<length]).write(to: URL(fileURLWithPath: cut))
            #expect(exhaust(cut) <= 60)
        }
        // A fixed sequence of damage, so that a failure can be seen again.
        var state: UInt64 = 7
        func random(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % below
        }
        for _ in 0..<150 {
            var damaged = data
            for _ in 0..<(1 + random(20)) { damaged[random(damaged.count)] = UInt8(random(256)) }
            try Data(damaged).write(to: URL(fileURLWithPath: cut))
            _ = exhaust(cut)
        }
    }

    @Test func cutPictures() throws {
        let png = try PNGWriter.encode(quadrants(40, 30))
        for length in stride(from: 1, to: png.count, by: max(1, png.count / 40)) {
            #expect(throws: MediaError.self) { try ImageReader.decode(Array(png[0..<length]), name: "cut.png") }
        }
        #expect(throws: MediaError.self) { try ImageReader.decode([], name: "empty.png") }
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
