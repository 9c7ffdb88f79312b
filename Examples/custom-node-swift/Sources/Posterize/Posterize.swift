import NodeKit

/// Reduces every colour channel of a film to a few levels.
@main
struct Posterize: Node {
    static let type: NodeType = "example.posterize"
    static let version = 1
    static let summary = "Reduces every colour channel of a film to a few levels."

    @Input("The film.") var video: Video
    @Parameter("Levels per channel.", in: 2...64) var levels = 4
    @Output("The film in few colours.") var posterized: Video

    func run(in context: NodeContext) throws {
        // One look-up table: byte → the nearest of the levels.
        let step = 255 / Double(levels - 1)
        let table = (0...255).map { UInt8((Double($0) / step).rounded() * step) }
        try $posterized.write(width: video.width, height: video.height, timeBase: video.timeline.timeBase) { output in
            for (index, stamp) in video.timeline.timestamps.enumerated() {
                try context.checkCancelled()
                try output.append(video.frame(index).map { table[Int($0)] }, at: stamp)
                context.progress(index + 1, of: video.count)
            }
            return video.timeline.end
        }
    }
}
