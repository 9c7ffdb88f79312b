import Models
import NodeKit

/// Takes the margins off a film that a picture got when it was brought to the film's canvas.
public struct VideoCrop: Node {
    public static let type: NodeType = "video.crop"
    public static let version = 1
    public static let summary = "Crops a film to the part of its canvas that a picture, fitted by image.fit, takes up."

    @Input("The film.") var video: Video
    @Input("The picture as it was before image.fit.") var like: Image
    @Parameter("As in image.fit: the picture counts as if its sides were multiples of this, rounded down.", in: 1...1024) var align = 16
    @Parameter("As in image.fit.") var oddMargin = Side.before
    @Output("The film without margins.") var cropped: Video

    public init() {}

    public func run(in context: NodeContext) throws {
        let timeline = video.timeline
        let box = WanFraming.box(
            width: WanFraming.aligned(like.width, align), height: WanFraming.aligned(like.height, align),
            canvas: (video.width, video.height), oddMargin: oddMargin.oddMargin)
        try $cropped.write(width: box.width, height: box.height, timeBase: timeline.timeBase) { writer in
            for index in 0..<video.count {
                try context.checkCancelled()
                let frame = video.frame(index)
                var pixels: [UInt8] = []
                pixels.reserveCapacity(3 * box.width * box.height)
                for y in box.top..<(box.top + box.height) {
                    let start = 3 * (y * video.width + box.left)
                    pixels += frame[start..<(start + 3 * box.width)]
                }
                try writer.append(pixels, at: timeline.timestamps[index])
                context.progress(index + 1, of: video.count)
            }
            return timeline.end
        }
    }
}
