/// How coordinates of one canvas come to lie on another: scaled with the aspect kept, centred.
public struct CanvasFit: Sendable, Equatable {
    public let scale: Float
    public let offsetX: Float
    public let offsetY: Float
    public let width: Int
    public let height: Int

    /// - Parameters: Sizes in pixels, all positive.
    public init(from width: Int, _ height: Int, to newWidth: Int, _ newHeight: Int) {
        scale = min(Float(newWidth) / Float(max(width, 1)), Float(newHeight) / Float(max(height, 1)))
        offsetX = (Float(newWidth) - scale * Float(width)) / 2
        offsetY = (Float(newHeight) - scale * Float(height)) / 2
        self.width = newWidth
        self.height = newHeight
    }

    /// Maps `[n, 2]` pixels.
    public func points(_ points: ArraySlice<Float>) -> [Float] {
        points.enumerated().map { $0.offset % 2 == 0 ? x($0.element) : y($0.element) }
    }

    public func x(_ x: Float) -> Float { x * scale + offsetX }
    public func y(_ y: Float) -> Float { y * scale + offsetY }
}
