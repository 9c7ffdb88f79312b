import Drawing
import Foundation

/// How much of the person a picture shows.
public enum ActorFraming: String, Sendable, CaseIterable {
    case head, half, full
    /// One of the three, drawn from the seed.
    case any
}

/// A fixed camera with weak perspective. World: metres, y = 0 is the ground under the person.
struct ActorCamera: Sendable {
    let width: Double
    let height: Double
    /// Pixels per metre at the person's distance.
    let scale: Double
    /// The world point (x, y) in the middle of the picture.
    let center: Point
    let distance: Double
    let framing: ActorFraming

    init(person: ActorPerson, framing: ActorFraming, width: Int, height: Int, seed: UInt64) {
        var g = ActorRandom(seed: seed, stream: "camera")
        let kind = framing == .any ? g.pick([(.half, 5), (.head, 2.2), (.full, 2.8)]) : framing
        self.framing = kind
        self.width = Double(width)
        self.height = Double(height)
        let side = min(self.width, self.height)
        let h = person.height
        let headTop = -(person.thigh + person.shin + person.torso + person.neck + person.headRadius * 2.1 + h * 0.03)
        switch kind {
        case .head:
            let span = h * g.uniform(0.30, 0.40)
            scale = self.height / span
            center = Point(g.uniform(-0.06, 0.06) * span, headTop + span * g.uniform(0.36, 0.43))
        case .full:
            let span = h * g.uniform(1.16, 1.34)
            scale = self.height / span
            center = Point(g.uniform(-0.06, 0.06) * span, -span * 0.5 + h * g.uniform(0.04, 0.09))
        default:
            let span = h * g.uniform(0.50, 0.64) * (side / self.width < 1 ? 1 : 1)
            scale = self.height / span
            center = Point(g.uniform(-0.07, 0.07) * span, headTop + span * g.uniform(0.40, 0.45))
        }
        distance = kind == .head ? 2.2 : 3.4
    }

    /// Pixels per metre at a depth.
    func zoom(_ v: Vec3) -> Double { scale * distance / max(distance + v.z, 0.5) }

    func project(_ v: Vec3) -> Point {
        let k = zoom(v)
        return Point(width / 2 + (v.x - center.x) * k, height / 2 + (v.y - center.y) * k)
    }

    /// The same camera over a canvas `factor` times as large.
    func scaled(by factor: Double) -> ActorCamera {
        ActorCamera(
            width: width * factor, height: height * factor, scale: scale * factor, center: center,
            distance: distance, framing: framing)
    }

    private init(
        width: Double, height: Double, scale: Double, center: Point, distance: Double, framing: ActorFraming
    ) {
        self.width = width
        self.height = height
        self.scale = scale
        self.center = center
        self.distance = distance
        self.framing = framing
    }
}
