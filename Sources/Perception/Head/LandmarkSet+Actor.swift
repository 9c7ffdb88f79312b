extension LandmarkSet {
    /// The 82 landmarks of the generated actors: jaw 17, brows 5 + 5, bridge 4, nose base 5, eyes 6 + 6, mouth 16 + 16, pupils.
    ///
    /// Kept: the upper ends of the jaw line, nose, eye corners. Coordinates: the generator's face with every proportion at
    /// the middle of its range, a head radius of 0.13 m. The generator's own sphere is the head.
    public static let actor82 = LandmarkSet(
        name: "understudy82", count: 82, indices: actorPoints.map(\.0),
        canonical: actorPoints.map { SIMD3($0.1, $0.2, $0.3) }, sphereCenter: .zero, sphereRadius: 0.13,
        depthWeight: 0.5)

    private static let actorPoints: [(Int, Float, Float, Float)] = [
        (0, -0.1066, 0.0000, -0.0300), (1, -0.1020, 0.0263, -0.0365), (2, -0.0920, 0.0510, -0.0425),
        (3, -0.0782, 0.0731, -0.0480), (4, -0.0624, 0.0920, -0.0527), (12, 0.0624, 0.0920, -0.0527),
        (13, 0.0782, 0.0731, -0.0480), (14, 0.0920, 0.0510, -0.0425), (15, 0.1020, 0.0263, -0.0365),
        (16, 0.1066, 0.0000, -0.0300), (27, 0.0000, 0.0013, -0.1248), (28, 0.0000, 0.0169, -0.1322),
        (29, 0.0000, 0.0325, -0.1395), (30, 0.0000, 0.0481, -0.1469), (31, -0.0169, 0.0585, -0.1235),
        (32, -0.0085, 0.0585, -0.1277), (33, 0.0000, 0.0585, -0.1318), (34, 0.0085, 0.0585, -0.1277),
        (35, 0.0169, 0.0585, -0.1235), (36, -0.0721, -0.0019, -0.0968), (39, -0.0254, -0.0012, -0.1194),
        (42, 0.0254, -0.0012, -0.1194), (45, 0.0721, -0.0019, -0.0968),
    ]
}
