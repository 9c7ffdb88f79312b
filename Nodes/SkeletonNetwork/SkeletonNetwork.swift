import Locking
import Models
import NodeKit
import Tensors

/// Skeleton, face and head from pixels by a small network: for generated actors, which MediaPipe does not know.
public struct SkeletonNetwork: Node {
    public static let type: NodeType = "skeleton.network"
    public static let version = 2
    public static let summary =
        "Finds body, hands, face and head of a generated actor by a key point network, without Python."
    public static let cost = NodeCost(threads: .all, memory: 256 << 20)

    @Input("The frames to search.", readsInOrder: true) var video: Video?
    @Input("A picture to search, instead of frames.") var image: Image?
    @Input("The key point network.") var model: ModelFolder
    @Parameter("Radius of the actor's head in metres: sets the scale of the 3D positions.", in: 0.02...0.5)
    var headRadius = 0.13
    @Output("Joints in pixels and metres; joints that the network does not know have confidence 0.") var pose: PoseTrack
    @Output("Face boxes and landmarks.") var faces: FaceTrack
    @Output("Head rotation, centre and radius.") var head: HeadTrack

    public init() {}

    public func run(in context: NodeContext) throws {
        let source = try Source(video: video, image: image)
        let network = try KeypointNet(WeightStore(path: model.path))
        let names = network.configuration.names
        var tracks = Tracks(names: names, metresPerHead: Float(headRadius))
        guard tracks.knowsHips else {
            throw NodeError(
                "the network '\(model.path)' has no key points 'left_hip' and 'right_hip', which a skeleton hangs on")
        }
        let batch = 32
        for start in stride(from: 0, to: source.count, by: batch) {
            try context.checkCancelled()
            let frames = (start..<min(start + batch, source.count)).map { source.frame($0) }
            let results = Locked([KeypointReading?](repeating: nil, count: frames.count))
            let fit = SquareFit(width: source.width, height: source.height, side: network.configuration.imageSize)
            Parallel.$threads.withValue(context.threads) {
                Parallel.forEach(count: frames.count) { index in
                    let picture = PixelConversion.tensor([frames[index]], width: source.width, height: source.height)
                    let reading = network.read(fit.applied(to: picture.squeezed(1)))
                    results.withLock { $0[index] = reading }
                }
            }
            for case let reading? in results.withLock({ $0 }) { tracks.append(reading, fit) }
            context.progress(start + frames.count, of: source.count)
        }
        let (width, height) = (source.width, source.height)
        try $pose.set(
            PoseTrack(
                timeline: source.timeline, width: width, height: height, keypoints: tracks.keypoints,
                positions: tracks.positions, confidence: tracks.confidence))
        try $faces.set(
            FaceTrack(
                timeline: source.timeline, width: width, height: height,
                landmarkSet: "understudy\(tracks.landmarkCount)",
                landmarkCount: tracks.landmarkCount, boxes: tracks.boxes, landmarks: tracks.landmarks,
                confidence: tracks.faceConfidence))
        try $head.set(
            HeadTrack(
                timeline: source.timeline, width: width, height: height, rotation: tracks.rotation,
                center: tracks.center, radius: tracks.radius, confidence: tracks.headConfidence))
    }

    /// Frames of a clip, or one picture as a clip of one frame.
    private struct Source: Sendable {
        let timeline: Timeline
        let width, height: Int
        private let video: Video?
        private let image: Image?

        init(video: Video?, image: Image?) throws {
            switch (video, image) {
            case (let video?, nil):
                guard video.count > 0 else { throw NodeError("the video has no frames") }
                (timeline, width, height) = (video.timeline, video.width, video.height)
            case (nil, let image?):
                (timeline, width, height) = (Timeline(rate: Rational(25), count: 1), image.width, image.height)
            default: throw NodeError("wire either 'video' or 'image', not \(video == nil ? "neither" : "both")")
            }
            self.video = video
            self.image = image
        }

        var count: Int { timeline.count }
        func frame(_ index: Int) -> [UInt8] { video?.frame(index) ?? image?.pixels ?? [] }
    }
}

/// How a picture of any shape is laid into the network's square: scaled with its aspect kept, centred, borders repeated.
struct SquareFit: Sendable {
    let scale: Float
    private let width, height, left, top, side: Int

    init(width: Int, height: Int, side: Int) {
        let scale = Double(side) / Double(max(width, height))
        self.width = max(1, min(side, Int((Double(width) * scale).rounded())))
        self.height = max(1, min(side, Int((Double(height) * scale).rounded())))
        left = (side - self.width) / 2
        top = (side - self.height) / 2
        self.side = side
        self.scale = Float(scale)
    }

    /// `[3, height, width]` → `[3, side, side]`.
    func applied(to picture: Tensor) -> Tensor {
        PixelConversion.resized(picture, height: height, width: width)
            .padded(1, before: top, after: side - height - top, .replicated)
            .padded(2, before: left, after: side - width - left, .replicated)
    }

    /// A place in the square as pixels of the picture.
    func pixels(x: Float, y: Float) -> (x: Float, y: Float) { ((x - Float(left)) / scale, (y - Float(top)) / scale) }
}
