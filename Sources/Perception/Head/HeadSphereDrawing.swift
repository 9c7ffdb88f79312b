/// Draws a head as a shaded sphere whose colour says how the head is turned.
///
/// Every pixel of the disc has a surface normal. Turned into the head's own frame (x to the person's left, y down, z
/// from the face to the back of the head; the identity rotation looks into the camera) it becomes the colour:
/// component c in −1…1 is (1 + c)/2, with z counted towards the face, so that the face is blue. The rim darkens by
/// the angle to the camera and is anti-aliased against the background.
public struct HeadSphereDrawing: Sendable {
    /// Brightness at the rim relative to the middle, 0…1.
    public var rimShade: Float

    public init(rimShade: Float = 0.6) {
        self.rimShade = rimShade
    }

    /// One frame on black.
    ///
    /// - Parameters:
    ///   - rotation: `[3, 3]` row-major, head to camera (camera x right, y down, z away).
    ///   - centerX: Centre in pixels; pixel (i, j) covers i…i+1.
    ///   - radius: Pixels; nothing is drawn when it is not a positive finite number.
    /// - Returns: RGB bytes `[height, width, 3]`.
    public func map(
        rotation: [Float], centerX: Float, centerY: Float, radius: Float, width: Int, height: Int
    ) -> [UInt8] {
        var pixels = [UInt8](repeating: 0, count: max(0, width * height * 3))
        draw(
            rotation: rotation, centerX: centerX, centerY: centerY, radius: radius, into: &pixels, width: width,
            height: height)
        return pixels
    }

    /// Draws one frame over `pixels`, RGB bytes `[height, width, 3]`; parameters as for
    /// ``map(rotation:centerX:centerY:radius:width:height:)``.
    ///
    /// - Parameter opacity: 0…1; 1 hides what was there.
    public func draw(
        rotation: [Float], centerX: Float, centerY: Float, radius: Float, opacity: Float = 1,
        into pixels: inout [UInt8], width: Int, height: Int
    ) {
        guard rotation.count == 9, width > 0, height > 0, pixels.count == width * height * 3, radius > 0,
            radius < 1e6, abs(centerX) < 1e6, abs(centerY) < 1e6, rotation.allSatisfy(\.isFinite)
        else { return }
        func span(_ center: Float, _ limit: Int) -> Range<Int> {
            let low = max(0, min(Float(limit), (center - radius - 1).rounded(.down)))
            let high = max(low, min(Float(limit), (center + radius + 1).rounded(.up)))
            return Int(low)..<Int(high)
        }
        let columns = span(centerX, width)
        for y in span(centerY, height) {
            let dy = Float(y) + 0.5 - centerY
            for x in columns {
                let dx = Float(x) + 0.5 - centerX
                let distance = (dx * dx + dy * dy).squareRoot()
                // Coverage of the pixel by the disc, linear across the one pixel that the rim crosses.
                let coverage = max(0, min(1, radius - distance + 0.5)) * opacity
                guard coverage > 0 else { continue }
                let color = self.color(rotation: rotation, x: dx / radius, y: dy / radius)
                let at = (y * width + x) * 3
                for c in 0..<3 {
                    let old = Float(pixels[at + c])
                    pixels[at + c] = UInt8(max(0, min(255, (old + (color[c] - old) * coverage).rounded())))
                }
            }
        }
    }

    /// The colour (0…255) at (x, y) of the unit disc.
    private func color(rotation r: [Float], x: Float, y: Float) -> SIMD3<Float> {
        let length = (x * x + y * y).squareRoot()
        let (nx, ny) = length > 1 ? (x / length, y / length) : (x, y)
        let nz = -max(0, 1 - nx * nx - ny * ny).squareRoot()
        // The inverse rotation: rows and columns swapped.
        let head = SIMD3<Float>(
            r[0] * nx + r[3] * ny + r[6] * nz,
            r[1] * nx + r[4] * ny + r[7] * nz,
            -(r[2] * nx + r[5] * ny + r[8] * nz))
        let shade = rimShade + (1 - rimShade) * -nz
        return (head + 1) * (127.5 * shade)
    }
}
