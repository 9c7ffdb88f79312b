/// A mouth shape of speech; the fifteen classes common in lip synchronisation.
enum Viseme: Int, CaseIterable, Sendable {
    case sil, PP, FF, TH, DD, kk, CH, SS, nn, RR, aa, E, I, O, U

    /// Mouth parameters of the full shape.
    var shape: (jaw: Double, wide: Double, pucker: Double, press: Double, bite: Double, tongue: Double) {
        switch self {
        case .sil: (0, 0, 0, 0, 0, 0)
        case .PP: (0, 0, 0.05, 1, 0, 0)
        case .FF: (0.08, 0.1, 0, 0, 1, 0)
        case .TH: (0.22, 0.1, 0, 0, 0, 1)
        case .DD: (0.22, 0.15, 0, 0, 0, 0.5)
        case .kk: (0.3, 0.1, 0, 0, 0, 0.1)
        case .CH: (0.18, -0.2, 0.55, 0, 0, 0)
        case .SS: (0.12, 0.45, 0, 0, 0, 0)
        case .nn: (0.16, 0.1, 0, 0, 0, 0.4)
        case .RR: (0.22, -0.15, 0.45, 0, 0, 0.2)
        case .aa: (0.85, 0.1, 0, 0, 0, 0.1)
        case .E: (0.5, 0.5, 0, 0, 0, 0.15)
        case .I: (0.28, 0.75, 0, 0, 0, 0.1)
        case .O: (0.6, -0.3, 0.75, 0, 0, 0)
        case .U: (0.25, -0.5, 1, 0, 0, 0)
        }
    }
}

/// What the face does in one frame.
struct ActorExpression: Sendable {
    /// Brow height, −1 (down) … 1 (up), on the person's left and right.
    var browLeft = 0.0
    var browRight = 0.0
    /// Brows drawn together, 0…1.
    var frown = 0.0
    /// Lid opening, 0 (closed) … 1 (open) … 1.25 (wide).
    var lidLeft = 1.0
    var lidRight = 1.0
    /// Gaze, −1…1: x to the right of the picture, y down.
    var gazeX = 0.0
    var gazeY = 0.0
    /// Mouth corners, −1 (down) … 1 (smile).
    var smile = 0.0
    /// Jaw opening, 0…1.
    var jaw = 0.0
    /// Mouth width, −1…1.
    var wide = 0.0
    /// Lips pushed forward and round, 0…1.
    var pucker = 0.0
    /// Lips pressed together, 0…1.
    var press = 0.0
    /// Lower lip against the upper teeth, 0…1.
    var bite = 0.0
    /// Tongue seen, 0…1.
    var tongue = 0.0
    /// Weight of each ``Viseme``, 0…1, at most 1 together.
    var visemes = [Double](repeating: 0, count: Viseme.allCases.count)

    /// The names of ``values``, in order.
    static let names = [
        "browLeft", "browRight", "frown", "lidLeft", "lidRight", "gazeX", "gazeY", "smile", "jaw", "wide", "pucker",
        "press", "bite", "tongue",
    ]

    var values: [Double] {
        [
            browLeft, browRight, frown, lidLeft, lidRight, gazeX, gazeY, smile, jaw, wide, pucker, press, bite, tongue,
        ]
    }

    /// Adds the mouth shapes of `visemes` to the mouth parameters.
    mutating func applyVisemes() {
        for viseme in Viseme.allCases {
            let weight = visemes[viseme.rawValue]
            guard weight > 0 else { continue }
            let shape = viseme.shape
            jaw += weight * shape.jaw
            wide += weight * shape.wide
            pucker += weight * shape.pucker
            press += weight * shape.press
            bite += weight * shape.bite
            tongue += weight * shape.tongue
        }
        jaw = clamp(jaw * (1 - 0.9 * press), 0, 1)
        wide = clamp(wide, -1, 1)
        pucker = clamp(pucker, 0, 1)
        press = clamp(press, 0, 1)
        bite = clamp(bite, 0, 1)
        tongue = clamp(tongue, 0, 1)
    }
}
