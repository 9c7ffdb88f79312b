import Drawing
import Foundation

/// What stands behind the person; drawn once a clip.
struct ActorBackdrop {
    /// Draws the backdrop over the whole canvas, whose camera is `camera`.
    static func draw(on canvas: Canvas, seed: UInt64, camera: ActorCamera) {
        var g = ActorRandom(seed: seed, stream: "backdrop")
        let (w, h) = (camera.width, camera.height)
        func muted() -> Color { .hsv(g.unit(), g.uniform(0.03, 0.42), g.uniform(0.35, 0.95)) }
        let (first, second) = (muted(), muted())
        let angle = g.uniform(0, 2 * Double.pi)
        let reach = Point(cos(angle) * w / 2, sin(angle) * h / 2)
        let middle = Point(w / 2, h / 2)
        let mixed = first.mixed(with: second, g.uniform(0.2, 1))
        canvas.paint(.linear(from: middle - reach, to: middle + reach, first, mixed))
        let floor = camera.project(Vec3(0, 0, 1.2)).y
        switch g.integer(0...5) {
        case 0: break
        case 1:  // Wall with pictures or windows
            for _ in 0..<g.integer(1...4) {
                let rect = Rect(
                    x: g.uniform(-0.1, 0.9) * w, y: g.uniform(0, 0.6) * h, width: g.uniform(0.12, 0.4) * w,
                    height: g.uniform(0.12, 0.4) * h)
                canvas.fill(.rectangle(rect), muted().darker(0.3))
                let inset = Rect(x: rect.x + w * 0.015, y: rect.y + w * 0.015, width: rect.width - w * 0.03, height: rect.height - w * 0.03)
                canvas.fill(.rectangle(inset), .linear(from: Point(0, inset.y), to: Point(0, inset.y + inset.height), muted(), muted()))
            }
        case 2:  // Lights out of focus
            for _ in 0..<g.integer(6...16) {
                let c = Point(g.unit() * w, g.unit() * h)
                let radius = g.uniform(0.03, 0.11) * w
                let color = Color.hsv(g.unit(), g.uniform(0.1, 0.5), 1)
                canvas.fill(.circle(center: c, radius: radius), .radial(center: c, radius: radius, color.withAlpha(0.5), color.withAlpha(0.12)))
            }
        case 3:  // Panels
            let count = g.integer(3...9)
            let dark = first.darker(g.uniform(0.08, 0.3))
            for i in 0..<count where i % 2 == 0 {
                canvas.fill(.rectangle(Rect(x: Double(i) * w / Double(count), y: 0, width: w / Double(count), height: h)), dark.withAlpha(0.6))
            }
        case 4:  // Shelves with boxes
            for row in 0..<g.integer(2...4) {
                let y = h * (0.18 + 0.24 * Double(row))
                canvas.fill(.rectangle(Rect(x: 0, y: y, width: w, height: h * 0.018)), second.darker(0.5))
                var x = g.uniform(0, 0.1) * w
                while x < w {
                    let (bw, bh) = (g.uniform(0.02, 0.08) * w, g.uniform(0.07, 0.16) * h)
                    if g.chance(0.75) { canvas.fill(.rectangle(Rect(x: x, y: y - bh, width: bw, height: bh)), muted()) }
                    x += bw + g.uniform(0, 0.03) * w
                }
            }
        default:  // Hills and a sun
            let sun = Point(g.uniform(0.1, 0.9) * w, g.uniform(0.08, 0.3) * h)
            canvas.fill(.circle(center: sun, radius: w * 0.2), .radial(center: sun, radius: w * 0.2, Color(1, 0.97, 0.8, 0.8), Color(1, 0.97, 0.8, 0)))
            for layer in 0..<3 {
                let base = h * (0.5 + 0.12 * Double(layer))
                var points = [Point(0, h)]
                for i in 0...6 { points.append(Point(w * Double(i) / 6, base + g.uniform(-0.07, 0.07) * h)) }
                points.append(Point(w, h))
                canvas.fill(Path(points: points, closed: true), Color.hsv(g.uniform(0.2, 0.5), 0.35, 0.75 - 0.14 * Double(layer)))
            }
        }
        if floor < h {
            let ground = muted().darker(0.15)
            canvas.fill(
                .rectangle(Rect(x: 0, y: floor, width: w, height: h - floor)),
                .linear(from: Point(0, floor), to: Point(0, h), ground.darker(0.2), ground.lighter(0.08)))
        }
    }
}
