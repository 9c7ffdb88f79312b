import NodeKit

/// Blackens what a mask covers.
public struct VideoCut: Node {
    public static let type: NodeType = "video.cut"
    public static let version = 1
    public static let summary = "Blackens a clip where a mask is white: the background that a person is put into."

    @Input("The clip.") var video: Video
    @Input("White where the clip is cut, one per frame, of the clip's size.") var mask: Maps
    @Output("The clip, black under the mask.") var background: Video

    public init() {}

    public func run(in context: NodeContext) throws {
        guard mask.count == video.count, mask.width == video.width, mask.height == video.height else {
            throw NodeError(
                "'mask' is \(mask.count) frames of \(mask.width)×\(mask.height), 'video' \(video.count) of \(video.width)×\(video.height): make both of the same clip"
            )
        }
        let timeline = video.timeline
        try $background.write(width: video.width, height: video.height, timeBase: timeline.timeBase) { writer in
            for index in 0..<video.count {
                try context.checkCancelled()
                let pixels = zip(video.frame(index), mask.frame(index)).map { $1 >= 128 ? 0 : $0 }
                try writer.append(pixels, at: timeline.timestamps[index])
                context.progress(index + 1, of: video.count)
            }
            return timeline.end
        }
    }
}
