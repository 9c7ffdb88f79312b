import Locking
import Models
import NodeKit
import Tensors

/// Face crops → face motion tokens.
public struct FaceMotionVideo: Node {
    public static let type: NodeType = "face.motion.video"
    public static let version = 2
    public static let summary = "Encodes face crops into implicit motion tokens: expression, lips and eyes."
    public static let cost = NodeCost(threads: .all, memory: 256 << 20)

    @Input("Square face crops, one per frame; brought to the encoder's size where they have another.", readsInOrder: true)
    var crops: Video
    @Input("The face motion encoder.") var model: ModelFolder
    @Output("Motion tokens per frame.") var motion: FaceMotion

    public init() {}

    public func run(in context: NodeContext) throws {
        guard crops.width == crops.height, crops.count > 0 else {
            throw NodeError(
                "\(crops.count) crops of \(crops.width)×\(crops.height); square crops are needed, as face.crop makes them"
            )
        }
        let encoder = try FaceMotionEncoder(WeightStore(path: model.path))
        let c = encoder.configuration
        let side = crops.width
        let count = crops.count
        let width = c.faceTokens * c.faceDim
        let batch = 32
        var tokens: [Float] = []
        tokens.reserveCapacity(count * width)
        for start in stride(from: 0, to: count, by: batch) {
            try context.checkCancelled()
            let frames = (start..<min(start + batch, count)).map { crops.frame($0) }
            let results = Locked([[Float]](repeating: [], count: frames.count))
            Parallel.$threads.withValue(context.threads) {
                Parallel.forEach(count: frames.count) { index in
                    let picture = PixelConversion.tensor([frames[index]], width: side, height: side).squeezed(1)
                    let crop = PixelConversion.resized(picture, height: c.imageSize, width: c.imageSize)
                    let result = encoder(crop).array
                    results.withLock { $0[index] = result }
                }
            }
            tokens += results.withLock { $0 }.flatMap { $0 }
            context.progress(start + frames.count, of: count)
        }
        try $motion.set(
            FaceMotion(timeline: crops.timeline, tokenCount: c.faceTokens, channels: c.faceDim, tokens: tokens))
    }
}
