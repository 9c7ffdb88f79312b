import NodeKit
import Perception

/// Cuts the face out of every frame.
public struct FaceCrop: Node {
    public static let type: NodeType = "face.crop"
    public static let version = 2
    public static let summary = "Cuts a steady square around the face out of every frame."

    @Input("The footage.", readsInOrder: true) var video: Video
    @Input("Where the face is.") var faces: FaceTrack
    @Parameter("Side of the crops, in pixels.", in: 16...2048) var size = 224
    @Parameter("Side of the square relative to the face's box.", in: 0.5...4) var margin = 1.3
    @Parameter("Faces below this confidence are marked and do not move the square.", in: 0...1) var confidence = 0.5
    @Parameter("Cutoff of the square's smoothing at rest, in hertz; 0 turns it off.", in: 0...30) var smoothing = 1.0
    @Parameter("How far ahead a frame looks, in seconds: what changes in a clip reaches back no further.", in: 0...10)
    var lookAhead = 0.2
    @Output("Square crops, one per frame; black where the clip shows no face at all.") var crops: Video
    @Output("The faces in pixels of the crops; confidence 0 where there was no face to trust.") var cropped: FaceTrack

    public init() {}

    public func run(in context: NodeContext) throws {
        let timeline = video.timeline
        guard timeline.count == faces.count else {
            throw NodeError(
                "'video' has \(timeline.count) frames and 'faces' has \(faces.count): wire both from the same clip")
        }
        let boxes = FaceBoxes(
            margin: margin, confidenceThreshold: Float(confidence), lookAhead: lookAhead,
            filter: smoothing > 0 ? OneEuroFilter(minimumCutoff: smoothing, beta: 2) : nil)
        // The faces may have been measured on another size of the same picture.
        let (sx, sy) = (
            Float(video.width) / Float(max(faces.width, 1)), Float(video.height) / Float(max(faces.height, 1))
        )
        let scaled = faces.boxes.enumerated().map { $0.element * ($0.offset % 2 == 0 ? sx : sy) }
        let squares = boxes.squares(
            boxes: scaled, confidence: faces.confidence, times: (0..<timeline.count).map(timeline.seconds))
        if squares == nil { context.log("no face in any frame: the crops are black") }
        try $crops.write(width: size, height: size, expecting: timeline) { writer in
            for f in 0..<timeline.count {
                try context.checkCancelled()
                let crop = squares.map { squares in
                    video.frames.withFrame(f) {
                        cropSquare($0, width: video.width, height: video.height, square: squares[f], size: size)
                    }
                } ?? [UInt8](repeating: 0, count: size * size * 3)
                try writer.append(crop, at: timeline.timestamps[f])
                context.progress(f + 1, of: timeline.count)
            }
            return timeline.end
        }
        try $cropped.set(moved(squares, scaleX: sx, scaleY: sy))
    }

    /// The faces in the coordinates of the crops.
    private func moved(_ squares: [FaceSquare]?, scaleX: Float, scaleY: Float) -> FaceTrack {
        var result = faces
        result.width = size
        result.height = size
        let count = faces.landmarkCount
        for f in 0..<faces.count {
            guard let square = squares?[f], faces.confidence[f] >= Float(confidence), faces.confidence[f] > 0 else {
                result.confidence[f] = 0
                for i in 0..<4 { result.boxes[4 * f + i] = 0 }
                for i in (f * count * 3)..<((f + 1) * count * 3) { result.landmarks[i] = 0 }
                continue
            }
            let k = Float(Double(size) / square.side)
            let (x0, y0) = (Float(square.x - square.side / 2), Float(square.y - square.side / 2))
            result.boxes[4 * f] = (faces.boxes[4 * f] * scaleX - x0) * k
            result.boxes[4 * f + 1] = (faces.boxes[4 * f + 1] * scaleY - y0) * k
            result.boxes[4 * f + 2] = faces.boxes[4 * f + 2] * scaleX * k
            result.boxes[4 * f + 3] = faces.boxes[4 * f + 3] * scaleY * k
            for j in 0..<count {
                let i = (f * count + j) * 3
                result.landmarks[i] = (faces.landmarks[i] * scaleX - x0) * k
                result.landmarks[i + 1] = (faces.landmarks[i + 1] * scaleY - y0) * k
                result.landmarks[i + 2] = faces.landmarks[i + 2] * scaleX * k
            }
        }
        return result
    }
}
