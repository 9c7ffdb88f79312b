import Models
import NodeKit
import Tensors

/// Speech features → the same face motion tokens as from video.
public struct FaceMotionAudio: Node {
    public static let type: NodeType = "face.motion.audio"
    public static let version = 2
    public static let summary = "Predicts face motion tokens from speech, so that no driving face is needed."
    public static let cost = NodeCost(threads: .all, memory: 256 << 20)

    @Input("Speech features on video frames.") var features: AudioFeatures
    @Input("The audio encoder.") var model: ModelFolder
    @Output("Motion tokens per frame.") var motion: FaceMotion

    public init() {}

    public func run(in context: NodeContext) throws {
        let encoder = try AudioEncoder(WeightStore(path: model.path))
        let c = encoder.configuration
        let count = features.timeline.count
        guard count > 0, features.channels == c.window * c.mels else {
            throw NodeError(
                "features '\(features.kind)' of \(features.channels) channels for \(count) frames; the encoder takes log-mel \(c.mels)×\(c.window): set window: \(c.window) in audio.features"
            )
        }
        let input = Tensor(features.features, [count, features.channels])
        let tokens = Parallel.$threads.withValue(context.threads) { encoder(input).array }
        context.progress(count, of: count)
        try $motion.set(
            FaceMotion(timeline: features.timeline, tokenCount: c.faceTokens, channels: c.faceDim, tokens: tokens))
    }
}
