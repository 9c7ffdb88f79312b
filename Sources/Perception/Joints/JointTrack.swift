/// A person's joints over a clip, as plain arrays in the order of ``Skeleton``.
public struct JointTrack: Sendable, Equatable {
    /// `[frames, 75, 2]` pixels of the canvas, x right, y down.
    public var keypoints: [Float]
    /// `[frames, 75, 3]` metres: x right, y down, z away from the camera, centred on the hips. All zero when the
    /// source has no 3D.
    public var positions: [Float]
    /// `[frames, 75]` in 0…1.
    public var confidence: [Float]
    /// `[frames, 75]`: 1 where a gap was filled, 0 where the joint was measured (or is missing).
    public var filled: [UInt8]
    /// `[frames]` seconds.
    public var times: [Double]
    /// The canvas, pixels.
    public var width: Int
    public var height: Int

    /// Checks that all arrays speak of the same number of frames.
    ///
    /// - Throws: ``PerceptionError`` naming the array of the wrong length.
    public init(
        keypoints: [Float], positions: [Float], confidence: [Float], filled: [UInt8], times: [Double], width: Int,
        height: Int
    ) throws {
        let entries = times.count * Skeleton.jointCount
        for (name, count, expected) in [
            ("keypoints", keypoints.count, entries * 2), ("positions", positions.count, entries * 3),
            ("confidence", confidence.count, entries), ("filled", filled.count, entries),
        ] where count != expected {
            throw PerceptionError(
                "the pose track has \(count) values in '\(name)'; its \(times.count) frames of 75 joints need \(expected)")
        }
        self.keypoints = keypoints
        self.positions = positions
        self.confidence = confidence
        self.filled = filled
        self.times = times
        self.width = width
        self.height = height
    }

    /// A track in which nothing is measured yet.
    public init(times: [Double], width: Int, height: Int) {
        let entries = times.count * Skeleton.jointCount
        keypoints = [Float](repeating: 0, count: entries * 2)
        positions = [Float](repeating: 0, count: entries * 3)
        confidence = [Float](repeating: 0, count: entries)
        filled = [UInt8](repeating: 0, count: entries)
        self.times = times
        self.width = width
        self.height = height
    }

    public var frameCount: Int { times.count }

    /// A joint's place in pixels.
    public func point(_ frame: Int, _ joint: Int) -> SIMD2<Float> {
        let i = (frame * Skeleton.jointCount + joint) * 2
        return SIMD2(keypoints[i], keypoints[i + 1])
    }

    public mutating func setPoint(_ frame: Int, _ joint: Int, _ value: SIMD2<Float>) {
        let i = (frame * Skeleton.jointCount + joint) * 2
        keypoints[i] = value.x
        keypoints[i + 1] = value.y
    }

    /// A joint's place in metres.
    public func position(_ frame: Int, _ joint: Int) -> SIMD3<Float> {
        let i = (frame * Skeleton.jointCount + joint) * 3
        return SIMD3(positions[i], positions[i + 1], positions[i + 2])
    }

    public mutating func setPosition(_ frame: Int, _ joint: Int, _ value: SIMD3<Float>) {
        let i = (frame * Skeleton.jointCount + joint) * 3
        positions[i] = value.x
        positions[i + 1] = value.y
        positions[i + 2] = value.z
    }

    public func confidence(_ frame: Int, _ joint: Int) -> Float {
        confidence[frame * Skeleton.jointCount + joint]
    }

    /// Whether the joint was measured: confident enough, a number, not filled in.
    public func isMeasured(_ frame: Int, _ joint: Int, threshold: Float) -> Bool {
        let i = frame * Skeleton.jointCount + joint
        return confidence[i] >= threshold && filled[i] == 0 && keypoints[2 * i].isFinite && keypoints[2 * i + 1].isFinite
    }

    /// Whether the source gave 3D positions at all.
    public var has3D: Bool { positions.contains { $0 != 0 } }
}
