import Testing

@testable import Drawing

@Suite struct CanvasTests {
    private func scene() throws -> Canvas {
        let canvas = try Canvas(width: 64, height: 48, background: .white)
        canvas.fill(.circle(center: Point(20, 20), radius: 10), Color(1, 0, 0))
        canvas.fill(
            .rectangle(Rect(x: 40, y: 10, width: 20, height: 20)),
            .linear(from: Point(40, 10), to: Point(60, 10), .black, Color(0, 0, 1)))
        canvas.text("abc", at: Point(4, 44), size: 12)
        return canvas
    }

    @Test func sameCallsGiveSameBytes() throws {
        #expect(try scene().rgb() == scene().rgb())
        #expect(try scene().png() == scene().png())
    }

    @Test func channelsAreInOrder() throws {
        let canvas = try scene()
        let rgb = canvas.rgb()
        #expect(rgb.count == 64 * 48 * 3)
        let i = (20 * 64 + 20) * 3
        #expect(Array(rgb[i..<i + 3]) == [255, 0, 0])
        let blue = try #require(canvas.pixel(x: 58, y: 20))
        #expect(blue.blue > 200 && blue.red == 0)
        #expect(canvas.pixel(x: 64, y: 0) == nil)
    }

    @Test func imageRoundTripsAndScales() throws {
        let bytes = (0..<12).map { UInt8($0 * 20) }
        let small = try Canvas(width: 2, height: 2, rgb: bytes)
        #expect(small.rgb() == bytes)
        let large = try Canvas(width: 8, height: 8)
        large.draw(small, in: Rect(x: 0, y: 0, width: 8, height: 8), filter: .nearest)
        #expect(large.rgb(shrunkBy: 4) == bytes)
        #expect(throws: DrawingError.self) { try Canvas(width: 2, height: 2, rgb: [0]) }
        #expect(throws: DrawingError.self) { try Canvas(width: 0, height: 2) }
    }

    @Test func capsuleCoversBothEnds() throws {
        let canvas = try Canvas(width: 60, height: 40, background: .black)
        canvas.fill(.capsule(from: Point(12, 20), radius: 8, to: Point(46, 12), radius: 4), .white)
        for (x, y) in [(12, 20), (46, 12), (6, 22), (48, 12), (30, 16)] {
            #expect(canvas.pixel(x: x, y: y)?.red == 255)
        }
        #expect(canvas.pixel(x: 30, y: 30)?.red == 0)
    }
}
