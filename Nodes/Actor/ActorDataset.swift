import NodeKit

/// Makes a shard of training clips.
public struct ActorDataset: Node {
    public static let type: NodeType = "actor.dataset"
    public static let version = 3
    public static let summary = "Makes training clips of procedural actors: frames, references, control maps, ground truth, speech."

    public static let cost = NodeCost(threads: .all)

    @Parameter("Names the dataset.", in: 0...1e15) var seed = 0
    @Parameter("Number of the first clip; clip i of a seed is always the same.", in: 0...1e9) var first = 0
    @Parameter("How many clips.", in: 1...100_000) var clips = 32
    @Parameter("Frames per clip.", in: 1...1000) var frames = 25
    @Parameter("Reference pictures per clip.", in: 0...16) var references = 3
    @Parameter("Frames per second.", in: 1...120) var fps: Double = 24
    @Parameter("Size of the pictures.", in: 16...2048) var size = PixelSize(128, 128)
    @Parameter("Side of the face crops in pixels.", in: 8...512) var crop = 64
    @Parameter("How much of the person is seen.") var framing = ActorClip.Framing.any
    @Parameter("Which part of the clips has speech with sound.", in: 0...1) var speech: Double = 0.5
    @Output("The clips, stacked; the tensors are described in the README.") var tensors: TensorBundle

    public init() {}

    public func run(in context: NodeContext) throws {
        let maker = ActorDatasetWriter(
            seed: UInt64(seed), frames: frames, references: references, width: size.width, height: size.height,
            framesPerSecond: fps, faceCrop: crop, framing: ActorFraming(rawValue: framing.rawValue) ?? .any,
            speech: speech)
        try $tensors.write(headerCapacity: 32_768) { writer in
            try writer.set(metadata: maker.metadata(first: first))
            try maker.write(clips: first..<first + clips, threads: context.threads, scratch: context.scratch, to: writer) { made in
                context.progress(made, of: clips, "clips")
                try context.checkCancelled()
            }
        }
    }
}
