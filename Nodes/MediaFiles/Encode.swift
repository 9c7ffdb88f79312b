import Media
import NodeKit

/// What a film is written as.
public enum FilmCodec: String, ParameterChoice {
    /// H.264 4:2:0 in MP4.
    case h264
    /// H.264 in RGB without loss, in MP4.
    case lossless
    /// A tar archive of one PNG per frame and `timestamps.csv`.
    case png

    var suffix: String { self == .png ? "tar" : "mp4" }
}

/// Encodes frames, and sound, to a film.
public struct VideoEncode: Node {
    public static let type: NodeType = "video.encode"
    public static let version = 2
    public static let summary = "Encodes frames and sound to an MP4 film (or a PNG sequence) that keeps every time stamp."

    @Input("The frames.", readsInOrder: true) var video: Video
    @Input("The sound; cut where the frames end.") var audio: Audio?
    @Input("A file whose sound is taken over in stereo, instead of 'audio'.") var soundtrack: File?
    @Parameter("h264 plays everywhere, lossless keeps RGB, png makes a tar archive of pictures.") var codec = FilmCodec.h264
    @Parameter("Constant rate factor of h264: lower is better and larger.", in: 0...51) var crf: Double = 18
    @Parameter("Where the frames' time 0 lies in the soundtrack, in seconds.", in: 0...1e6) var soundtrackStart: Double = 0
    @Output("The film.") var file: File

    public init() {}

    public func run(in context: NodeContext) throws {
        guard audio == nil || soundtrack == nil else {
            throw NodeError("both 'audio' and 'soundtrack' are wired; a film has one sound: unwire one")
        }
        let sound: (any Sound)?
        if let soundtrack {
            sound = try FileSound(path: soundtrack.path, start: soundtrackStart, frames: video.timeline)
        } else {
            sound = audio.map { SampleSound($0) }
        }
        try $file.write(extension: codec.suffix) { path in
            try FilmWriter(frames: video.frames, sound: sound, codec: codec, crf: crf).write(to: path, in: context)
        }
        sound?.warnings.forEach(context.log)
    }
}

/// Encodes control images to a film, to look at them.
public struct MapsEncode: Node {
    public static let type: NodeType = "maps.encode"
    public static let version = 2
    public static let summary = "Encodes control images to an MP4 film or a PNG sequence."

    @Input("The control images.", readsInOrder: true) var maps: Maps
    @Parameter("h264 plays everywhere, lossless keeps RGB, png makes a tar archive of pictures.") var codec = FilmCodec.h264
    @Parameter("Constant rate factor of h264: lower is better and larger.", in: 0...51) var crf: Double = 18
    @Output("The film.") var file: File

    public init() {}

    public func run(in context: NodeContext) throws {
        try $file.write(extension: codec.suffix) { path in
            try FilmWriter(frames: maps.frames, sound: nil, codec: codec, crf: crf).write(to: path, in: context)
        }
    }
}
