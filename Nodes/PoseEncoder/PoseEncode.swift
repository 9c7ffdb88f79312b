import Models
import NodeKit
import Tensors

/// Encodes skeleton and head sphere maps into pose features on the latent grid.
public struct PoseEncode: Node {
    public static let type: NodeType = "pose.encode"
    public static let version = 2
    public static let summary =
        "Encodes skeleton and head sphere maps into pose features on the latent grid, over the whole clip."
    public static let cost = NodeCost(threads: .all, memory: 512 << 20)

    @Input("Skeleton maps, one per frame.", readsInOrder: true) var skeleton: Maps
    @Input("Head sphere maps, as many and as large.", readsInOrder: true) var sphere: Maps
    @Input("The pose encoder.") var model: ModelFolder
    @Output("Pose features; where the clip is not 1 + 4k frames long, its last maps are held.")
    var features: PoseFeatures

    public init() {}

    public func run(in context: NodeContext) throws {
        let (width, height, count) = (skeleton.width, skeleton.height, skeleton.count)
        guard sphere.width == width, sphere.height == height, sphere.count == count, count > 0 else {
            throw NodeError(
                "\(count) skeleton maps of \(width)×\(height), but \(sphere.count) sphere maps of \(sphere.width)×\(sphere.height); draw both on the same canvas for the same frames"
            )
        }
        guard width % 8 == 0, height % 8 == 0 else {
            throw NodeError(
                "maps of \(width)×\(height): both sides must be multiples of 8; set 'size' where they are drawn")
        }
        let encoder = try PoseEncoder(WeightStore(path: model.path))
        var stream = encoder.stream()
        var features: [Tensor] = []
        var next = 0
        while next < count {
            try context.checkCancelled()
            let frames = (next..<(next + stream.chunkLength)).map { min($0, count - 1) }
            let maps = Tensor.concatenated(
                [skeleton, sphere].map {
                    PixelConversion.tensor(frames.map($0.frame), width: width, height: height, .unit)
                }, 0)
            next += frames.count
            features.append(Parallel.$threads.withValue(context.threads) { stream.encode(maps) })
            context.progress(min(next, count), of: count)
        }
        let all = Tensor.concatenated(features, 1)
        try $features.set(
            PoseFeatures(
                grid: LatentGrid(
                    channels: all.shape[0], frames: all.shape[1], height: all.shape[2], width: all.shape[3],
                    values: all.array)))
    }
}
