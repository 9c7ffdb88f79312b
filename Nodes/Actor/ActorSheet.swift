import Drawing
import Perception

/// A contact sheet of random people, to look at.
public struct ActorSheet {
    /// Writes `people` rows of `columns` frames, each with its control maps beside the last, as a PNG.
    public static func write(
        to path: String, seed: UInt64, people: Int, columns: Int = 6, size: Int = 192, framing: ActorFraming = .any
    ) throws {
        let sheet = try Canvas(width: (columns + 3) * size, height: people * size, background: .black)
        for row in 0..<people {
            let stage = try ActorStage(personSeed: seed + UInt64(row), framing: framing, width: size, height: size)
            func put(_ rgb: [UInt8], _ side: Int, _ column: Int) throws {
                sheet.draw(
                    try Canvas(width: side, height: side, rgb: rgb),
                    in: Rect(x: Double(column * size), y: Double(row * size), width: Double(size), height: Double(size)))
            }
            for column in 0..<columns {
                let frame = try stage.frame(at: 3 + Double(column) * 0.7, faceCrop: size)
                try put(frame.rgb, size, column)
                guard column == columns - 1 else { continue }
                let t = frame.truth
                let depth = (0..<75).map { t.positions[$0 * 3 + 2] }
                try put(
                    try SkeletonDrawing().map(
                        keypoints: t.keypoints, depth: depth, confidence: t.confidence, width: size, height: size), size,
                    columns)
                try put(
                    HeadSphereDrawing().map(
                        rotation: t.headRotation, centerX: t.headCenter[0], centerY: t.headCenter[1],
                        radius: t.headRadius, width: size, height: size), size, columns + 1)
                try put(frame.face, size, columns + 2)
            }
        }
        try sheet.writePNG(to: path)
    }
}
