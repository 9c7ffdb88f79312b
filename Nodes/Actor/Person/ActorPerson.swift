import Drawing

/// A person's fixed look: proportions, colours, hair, clothes. Lengths in metres unless said otherwise.
struct ActorPerson: Sendable {
    enum Top: Sendable { case tee, long, tank, shirt, jacket, hoodie, dress }
    enum Bottom: Sendable { case trousers, shorts, skirt }
    enum Pattern: Sendable { case plain, horizontal, vertical, checks, dots, block }
    enum Hair: Sendable { case bald, buzz, short, side, bob, long, bun, ponytail, afro, curly, beanie, cap }
    enum Beard: Sendable { case none, stubble, moustache, goatee, full }

    let seed: UInt64
    // Proportions
    var height, headRadius, neck, torso, shoulder, pelvis, hip: Double
    var chest, waist: Double
    var upperArm, forearm, hand, thigh, shin, foot: Double
    var armRadius, legRadius, build: Double
    // Head, in head radii
    var faceWidth, jaw, chin, cheek: Double
    var eyeSize, eyeX, eyeY, eyeSlant, iris: Double
    var browWeight, browTilt, browHeight: Double
    var nose, noseWidth, mouthWidth, mouthY, lipFullness: Double
    // Look
    var skin, hair, lips, eyeColor: Color
    var style: Hair
    var fringe, hairLength, hairVolume: Double
    var parting: Double
    var beard: Beard
    var glasses, earrings, freckles, makeup: Bool
    var glassesColor: Color
    var hatColor: Color
    var top: Top
    var bottom: Bottom
    var pattern: Pattern
    var patternCount: Int
    var topColor, patternColor, innerColor, bottomColor, shoeColor: Color
    var hem: Double
    var vNeck: Bool

    static let skins: [Color] = [
        Color(rgb: 255, 226, 204), Color(rgb: 245, 203, 170), Color(rgb: 228, 177, 133), Color(rgb: 202, 145, 98),
        Color(rgb: 160, 106, 68), Color(rgb: 118, 76, 50), Color(rgb: 86, 56, 40),
    ]
    static let hairs: [Color] = [
        Color(rgb: 28, 22, 22), Color(rgb: 58, 38, 26), Color(rgb: 96, 60, 34), Color(rgb: 142, 92, 50),
        Color(rgb: 206, 166, 96), Color(rgb: 232, 206, 150), Color(rgb: 156, 66, 32), Color(rgb: 150, 150, 156),
        Color(rgb: 220, 220, 224), Color(rgb: 70, 50, 110), Color(rgb: 190, 60, 110),
    ]

    /// The person that `seed` names.
    init(seed: UInt64) {
        self.seed = seed
        var g = ActorRandom(seed: seed, stream: "person.body")
        height = g.uniform(1.5, 1.92)
        let h = height
        build = g.uniform(0, 1)
        let feminine = g.chance(0.5)
        headRadius = h * g.uniform(0.070, 0.084)
        neck = h * g.uniform(0.030, 0.048)
        torso = h * g.uniform(0.275, 0.315)
        shoulder = h * (feminine ? g.uniform(0.092, 0.112) : g.uniform(0.105, 0.135)) * (0.95 + 0.12 * build)
        pelvis = h * g.uniform(0.050, 0.064)
        hip = h * (feminine ? g.uniform(0.094, 0.112) : g.uniform(0.084, 0.100)) * (0.9 + 0.35 * build)
        chest = h * g.uniform(0.086, 0.100) * (0.88 + 0.36 * build)
        waist = h * (feminine ? g.uniform(0.062, 0.076) : g.uniform(0.072, 0.086)) * (0.88 + 0.55 * build)
        upperArm = h * g.uniform(0.158, 0.182)
        forearm = h * g.uniform(0.138, 0.158)
        hand = h * g.uniform(0.098, 0.112)
        thigh = h * g.uniform(0.232, 0.252)
        shin = h * g.uniform(0.222, 0.245)
        foot = h * g.uniform(0.125, 0.145)
        armRadius = h * g.uniform(0.0215, 0.027) * (0.88 + 0.4 * build)
        legRadius = h * g.uniform(0.040, 0.048) * (0.9 + 0.4 * build)

        var f = ActorRandom(seed: seed, stream: "person.face")
        faceWidth = f.uniform(0.76, 0.88) + 0.05 * build
        jaw = feminine ? f.uniform(0.50, 0.70) : f.uniform(0.60, 0.84)
        chin = f.uniform(1.06, 1.20)
        cheek = f.uniform(0, 1)
        eyeSize = f.uniform(0.155, 0.205)
        eyeX = f.uniform(0.34, 0.41)
        eyeY = f.uniform(-0.08, 0.02)
        eyeSlant = f.uniform(-0.12, 0.16)
        iris = f.uniform(0.088, 0.110)
        browWeight = f.uniform(0.035, 0.095) * (feminine ? 0.8 : 1.1)
        browTilt = f.uniform(-0.06, 0.06)
        browHeight = f.uniform(0.24, 0.32)
        nose = f.uniform(0.10, 0.22)
        noseWidth = f.uniform(0.10, 0.16)
        mouthWidth = f.uniform(0.28, 0.38)
        mouthY = f.uniform(0.56, 0.63)
        lipFullness = f.uniform(0.6, 1.4)

        var c = ActorRandom(seed: seed, stream: "person.look")
        skin = c.pick(Self.skins).mixed(with: c.pick(Self.skins), c.uniform(0, 0.4))
        hair = c.pick(Self.hairs).mixed(with: c.pick(Self.hairs), c.uniform(0, 0.25))
        makeup = feminine && c.chance(0.5)
        lips = skin.mixed(with: Color(rgb: 178, 52, 62), makeup ? c.uniform(0.5, 0.95) : c.uniform(0.25, 0.45))
        eyeColor = c.pick([
            Color(rgb: 62, 40, 24), Color(rgb: 96, 62, 34), Color(rgb: 62, 104, 150), Color(rgb: 70, 120, 80),
            Color(rgb: 110, 120, 130), Color(rgb: 40, 28, 20),
        ])
        style = feminine
            ? c.pick([
                (.long, 3), (.bob, 2.5), (.bun, 1.2), (.ponytail, 1.5), (.curly, 1), (.short, 0.8), (.afro, 0.8),
                (.beanie, 0.4), (.side, 0.4),
            ])
            : c.pick([
                (.short, 3), (.side, 2), (.buzz, 1.4), (.bald, 0.8), (.curly, 1), (.afro, 0.7), (.long, 0.4),
                (.beanie, 0.5), (.cap, 0.6), (.bun, 0.2),
            ])
        fringe = c.uniform(-0.72, -0.44)
        hairLength = c.uniform(0.5, 1.9)
        hairVolume = c.uniform(1.07, 1.2)
        parting = c.uniform(-0.6, 0.6)
        beard = feminine
            ? .none : c.pick([(.none, 4), (.stubble, 1.3), (.moustache, 0.7), (.goatee, 0.8), (.full, 1.4)])
        glasses = c.chance(0.16)
        glassesColor = c.pick([.gray(0.1), Color(rgb: 110, 60, 30), Color(rgb: 150, 30, 40), .gray(0.55)])
        earrings = feminine && c.chance(0.4)
        freckles = c.chance(0.12)
        hatColor = .hsv(c.unit(), c.uniform(0.2, 0.8), c.uniform(0.25, 0.85))

        var d = ActorRandom(seed: seed, stream: "person.clothes")
        func cloth() -> Color { .hsv(d.unit(), d.uniform(0.05, 0.8), d.uniform(0.18, 0.96)) }
        top = d.pick(
            feminine
                ? [(.tee, 2), (.long, 2), (.tank, 1.2), (.shirt, 1), (.jacket, 0.8), (.hoodie, 0.8), (.dress, 1.5)]
                : [(.tee, 2.5), (.long, 2), (.tank, 0.6), (.shirt, 1.5), (.jacket, 1.5), (.hoodie, 1.2)])
        bottom = top == .dress ? .skirt : d.pick([(.trousers, 4), (.shorts, 1.2), (.skirt, feminine ? 1.6 : 0)])
        pattern = d.pick([
            (.plain, 4), (.horizontal, 1.6), (.vertical, 1), (.checks, 1.2), (.dots, 1), (.block, 0.8),
        ])
        if top == .jacket { pattern = d.chance(0.7) ? .plain : .vertical }
        patternCount = d.integer(4...8)
        topColor = cloth()
        patternColor = cloth()
        innerColor = d.chance(0.5) ? Color(0.93, 0.93, 0.92) : cloth()
        bottomColor = top == .dress
            ? topColor : d.chance(0.5) ? .hsv(d.uniform(0.55, 0.68), d.uniform(0.2, 0.6), d.uniform(0.2, 0.55)) : cloth()
        shoeColor = d.pick([.gray(0.12), .gray(0.9), Color(rgb: 100, 60, 36), cloth()])
        hem = d.uniform(0.25, 0.9)
        vNeck = d.chance(0.4)
    }

    /// Whether the sleeves reach the wrist (2), the middle of the upper arm (1), or there are none (0).
    var sleeves: Int {
        switch top {
        case .tee: 1
        case .long, .shirt, .jacket, .hoodie: 2
        case .tank: 0
        case .dress: patternCount % 3
        }
    }
}
