/// The rigid part of a face: which landmarks of a tracker hardly move with the expression, and where they lie on a
/// mean face.
///
/// Canonical coordinates are metres in the head frame: x to the person's left, y down, z from the face to the back of
/// the head. With the identity rotation the face looks into the camera (camera: x right, y down, z away).
public struct LandmarkSet: Sendable {
    /// The name that a faces artifact carries.
    public var name: String
    /// How many landmarks the tracker gives per face.
    public var count: Int
    public var indices: [Int]
    /// As many as `indices`.
    public var canonical: [SIMD3<Float>]
    /// Centre of the sphere that stands for the head, in the head frame.
    public var sphereCenter: SIMD3<Float>
    /// Its radius, metres.
    public var sphereRadius: Float
    /// Weight of the tracker's z against its x and y; 0 when it gives none.
    public var depthWeight: Float

    public init(
        name: String, count: Int, indices: [Int], canonical: [SIMD3<Float>], sphereCenter: SIMD3<Float>,
        sphereRadius: Float, depthWeight: Float
    ) {
        precondition(indices.count == canonical.count, "Each index of a landmark set needs one canonical point.")
        precondition(indices.allSatisfy { (0..<count).contains($0) }, "A landmark index lies outside the set.")
        self.name = name
        self.count = count
        self.indices = indices
        self.canonical = canonical
        self.sphereCenter = sphereCenter
        self.sphereRadius = sphereRadius
        self.depthWeight = depthWeight
    }

    /// The sets this build knows, by name.
    public static let all: [String: LandmarkSet] = [
        mediapipe478.name: mediapipe478, actor82.name: actor82, "understudy-actor": actor82,
    ]

    /// Finds a set by the name in a faces artifact.
    ///
    /// - Throws: ``PerceptionError`` listing the known names.
    public static func named(_ name: String) throws -> LandmarkSet {
        guard let set = all[name] else {
            throw PerceptionError(
                "no canonical face is known for the landmark set '\(name)'; known: \(all.keys.sorted().joined(separator: ", "))")
        }
        return set
    }
}
