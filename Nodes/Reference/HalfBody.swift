import Models
import NodeKit

/// The upper half of a body that a clip shows from head to foot: what a full-body picture is too small to tell (METHOD §1).
enum HalfBody {
    /// A part of a picture, in its pixels.
    struct Box: Equatable {
        var x: Int
        var y: Int
        var width: Int
        var height: Int
    }

    /// Joints of `holistic75` by what they tell.
    private static let nose = 0
    private static let shoulders = (11, 12)
    private static let hips = (23, 24)
    /// Head, arms and hips.
    private static let upper = [0, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24]
    /// What must be seen for a body to count as whole.
    private static let whole = [0, 11, 12, 23, 24, 25, 26, 27, 28]

    /// The frame that shows a whole body best; nil when none shows one.
    ///
    /// - Parameter threshold: Joints below this confidence count as unseen.
    static func frame(_ pose: PoseTrack, threshold: Float) -> Int? {
        let bounds = (x: 0..<Float(pose.width), y: 0..<Float(pose.height))
        func isWhole(_ frame: Int) -> Bool {
            whole.allSatisfy { joint in
                let place = place(pose, frame, joint)
                return confidence(pose, frame, joint) >= max(threshold, .leastNonzeroMagnitude)
                    && bounds.x.contains(place.x) && bounds.y.contains(place.y)
            }
        }
        func score(_ frame: Int) -> Float { upper.reduce(0) { $0 + confidence(pose, frame, $1) } }
        return (0..<pose.count).filter(isWhole).max { (score($0), -$0) < (score($1), -$1) }
    }

    /// Where the upper half of a whole body is: from above the head to below the hips, arms and all, in the shape of a canvas as
    /// far as the picture reaches.
    ///
    /// - Parameters:
    ///   - frame: One that ``frame(_:threshold:)`` found.
    ///   - picture: The picture's size, which may differ from the one that the pose was measured in.
    ///   - aspect: Width over height of the canvas.
    static func box(_ pose: PoseTrack, frame: Int, threshold: Float, picture: (width: Int, height: Int), aspect: Double) -> Box {
        let seen = upper.filter { confidence(pose, frame, $0) >= threshold }.map { place(pose, frame, $0) }
        let neck = (place(pose, frame, shoulders.0) + place(pose, frame, shoulders.1)) / 2
        let hip = (place(pose, frame, hips.0) + place(pose, frame, hips.1)) / 2
        let nose = place(pose, frame, nose)
        let torso = Double(abs(hip.y - neck.y))
        // The crown lies about as far above the nose as the neck below it.
        let crown = Double(nose.y) - 1.1 * Double(abs(neck.y - nose.y))
        let (sx, sy) = (Double(picture.width) / Double(max(pose.width, 1)), Double(picture.height) / Double(max(pose.height, 1)))
        let left = (Double(seen.map(\.x).min() ?? nose.x) - 0.15 * torso) * sx
        let right = (Double(seen.map(\.x).max() ?? nose.x) + 0.15 * torso) * sx
        let top = min(Double(seen.map(\.y).min() ?? nose.y) - 0.05 * torso, crown) * sy
        let bottom = (Double(hip.y) + 0.1 * torso) * sy
        let height = max(bottom - top, (right - left) / aspect, 2)
        let width = max(right - left, height * aspect, 2)
        let fitted = (width: min(width, Double(picture.width)), height: min(height, Double(picture.height)))
        let x = min(max((left + right - fitted.width) / 2, 0), Double(picture.width) - fitted.width)
        let y = min(max(top, 0), Double(picture.height) - fitted.height)
        let whole = Box(
            x: Int(x.rounded()), y: Int(y.rounded()), width: max(1, Int(fitted.width.rounded())),
            height: max(1, Int(fitted.height.rounded())))
        return Box(
            x: whole.x, y: whole.y, width: min(whole.width, picture.width - whole.x), height: min(whole.height, picture.height - whole.y))
    }

    private static func place(_ pose: PoseTrack, _ frame: Int, _ joint: Int) -> SIMD2<Float> {
        let base = (frame * PoseTrack.jointCount + joint) * 2
        return SIMD2(pose.keypoints[base], pose.keypoints[base + 1])
    }

    private static func confidence(_ pose: PoseTrack, _ frame: Int, _ joint: Int) -> Float {
        let place = place(pose, frame, joint)
        return place.x.isFinite && place.y.isFinite ? pose.confidence[frame * PoseTrack.jointCount + joint] : 0
    }
}

/// Pictures brought to one canvas: cut, scaled with their aspect kept, centred on black.
struct Canvas {
    let width: Int
    let height: Int

    /// - Parameter picture: Interleaved RGB bytes, `[height, width, 3]`.
    func drawing(_ picture: [UInt8], width: Int, height: Int, cut: HalfBody.Box? = nil) -> [UInt8] {
        let box = cut ?? .init(x: 0, y: 0, width: width, height: height)
        if cut == nil, width == self.width, height == self.height { return picture }
        var part: [UInt8] = []
        part.reserveCapacity(box.width * box.height * 3)
        for row in box.y..<(box.y + box.height) {
            let start = (row * width + box.x) * 3
            part += picture[start..<(start + box.width * 3)]
        }
        let scale = min(Double(self.width) / Double(box.width), Double(self.height) / Double(box.height))
        let (w, h) = (
            min(max(1, Int((Double(box.width) * scale).rounded())), self.width),
            min(max(1, Int((Double(box.height) * scale).rounded())), self.height)
        )
        let pixels = PixelConversion.tensor([part], width: box.width, height: box.height).selected(1, 0)
        let scaled = PixelConversion.bytes(PixelConversion.resized(pixels, height: h, width: w).reshaped(3, 1, h, w), frame: 0)
        var canvas = [UInt8](repeating: 0, count: self.width * self.height * 3)
        let (left, top) = ((self.width - w) / 2, (self.height - h) / 2)
        for row in 0..<h {
            let start = ((top + row) * self.width + left) * 3
            canvas.replaceSubrange(start..<(start + w * 3), with: scaled[(row * w * 3)..<((row + 1) * w * 3)])
        }
        return canvas
    }
}
