import Foundation
import Tensors

/// Key points and head as read from what a ``KeypointNet`` puts out, in pixels of its input.
public struct KeypointReading: Sendable {
    public struct Point: Sendable {
        public var x, y: Float
        /// Metres away from the camera, from the hips.
        public var depth: Float
        /// 0 … 1.
        public var confidence: Float
    }

    /// One per name in the configuration.
    public let points: [Point]
    /// Head axes to camera axes, row-major `[3, 3]`.
    public let rotation: [Float]
    /// Centre and radius of the head.
    public let center: (x: Float, y: Float)
    public let radius: Float
}

extension KeypointNet {
    /// Looks at one picture, `[3, S, S]` in −1 … 1, and reads its key points: each is the mean place under the softmax of its map.
    public func read(_ image: Tensor) -> KeypointReading {
        let output = self(image)
        let side = output.heatmaps.shape[1]
        let count = output.heatmaps.shape[0]
        let cell = Float(configuration.imageSize) / Float(side)
        let weights = output.heatmaps.reshaped(count, side * side).softmax().array
        let (depths, visibility, head) = (output.depths.array, output.visibility.array, output.head.array)
        let points = (0..<count).map { k -> KeypointReading.Point in
            var (x, y, depth): (Float, Float, Float) = (0, 0, 0)
            for row in 0..<side {
                for column in 0..<side {
                    let index = (k * side + row) * side + column
                    x += weights[index] * (Float(column) + 0.5)
                    y += weights[index] * (Float(row) + 0.5)
                    depth += weights[index] * depths[index]
                }
            }
            return .init(x: x * cell, y: y * cell, depth: depth, confidence: 1 / (1 + Foundation.exp(-visibility[k])))
        }
        let size = Float(configuration.imageSize)
        return KeypointReading(
            points: points, rotation: Self.rotation(head), center: (head[6] * size, head[7] * size),
            radius: max(0, head[8] * size))
    }

    /// Gram–Schmidt on the two columns that the network gives; the identity where they span no plane.
    private static func rotation(_ head: [Float]) -> [Float] {
        var a = SIMD3(head[0], head[1], head[2])
        var b = SIMD3(head[3], head[4], head[5])
        a /= max((a * a).sum().squareRoot(), 1e-12)
        b -= (a * b).sum() * a
        let length = (b * b).sum().squareRoot()
        guard length > 1e-6, (a * a).sum() > 0.5 else { return [1, 0, 0, 0, 1, 0, 0, 0, 1] }
        b /= length
        let c = SIMD3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)
        return [a.x, b.x, c.x, a.y, b.y, c.y, a.z, b.z, c.z]
    }
}
