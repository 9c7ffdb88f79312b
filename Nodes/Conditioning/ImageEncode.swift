import Models
import NodeKit
import Tensors

/// Picture → CLIP's tokens.
public struct ImageEncode: Node {
    public static let type: NodeType = "image.encode"
    public static let version = 3
    public static let summary = "Encodes a picture by CLIP into the tokens that Wan attends to."
    public static let cost = NodeCost(threads: .all, memory: 3 << 30)

    @Input("The picture as it is: it is brought to CLIP's size here.") var image: Image?
    @Input("A clip, instead of 'image': its first frame is encoded.") var video: Video?
    @Input("The picture that a film ends with, for networks that take first and last.") var last: Image?
    @Input("CLIPVisionModel, or a pipeline folder with image_encoder and image_processor.") var model: ModelFolder
    @Input("The folder of preprocessor_config.json, where 'model' has none.") var processor: ModelFolder?
    @Parameter("Numbers of the large layers: f32; bf16 (half the memory; weights stored so are used where they lie in the file).")
    var precision = TextEncode.Numbers.f32
    @Parameter("How the picture is brought to CLIP's size: as its processor has it, or stretched (bicubic), as Wan-Animate-2 does.")
    var resize = Resizing.processor
    @Output("The tensor 'image_embeds' [pictures, tokens, width]: the last hidden state but one.") var embeddings: TensorBundle

    /// How pictures are brought to CLIP's size.
    public enum Resizing: String, ParameterChoice {
        case processor, stretch
    }

    public init() {}

    public func run(in context: NodeContext) throws {
        let processor = try resize == .processor ? CLIPImageProcessor(folder: (processor ?? model).part("image_processor")) : nil
        let path = try model.part("image_encoder")
        let weights = try WeightStore(path: path, precision: precision.precision)
        let name = try weights.className()
        guard ["CLIPVisionModel", "CLIPVisionModelWithProjection", "CLIPModel"].contains(name) else {
            throw NodeError("'\(path)' is a \(name); image.encode knows CLIPVisionModel, CLIPVisionModelWithProjection and CLIPModel")
        }
        let network = try Parallel.$threads.withValue(context.threads) { try CLIPVision(weights) }
        let c = network.configuration
        let pictures = try pictures()
        let tokens = try Parallel.$threads.withValue(context.threads) {
            try pictures.map { picture in
                try context.checkCancelled()
                let pixels =
                    processor.map { $0(picture.pixels, width: picture.width, height: picture.height) }
                    ?? CLIPImageProcessor.stretched(picture.pixels, width: picture.width, height: picture.height, side: c.imageSize)
                guard pixels.shape == [c.channels, c.imageSize, c.imageSize] else {
                    throw NodeError("the preprocessing gives \(pixels.shape), '\(path)' takes [\(c.channels), \(c.imageSize), \(c.imageSize)]")
                }
                return try network(pixels).hiddenStates[c.layers - 1]
            }
        }
        let all = Tensor.stacked(tokens)
        try $embeddings.write { try $0.write("image_embeds", all.array, shape: all.shape) }
    }

    private func pictures() throws -> [Image] {
        let ends = last.map { [$0] } ?? []
        switch (image, video) {
        case (let image?, nil): return [image] + ends
        case (nil, let video?):
            guard video.count > 0 else { throw NodeError("the video has no frames") }
            return [Image(width: video.width, height: video.height, pixels: video.frame(0))] + ends
        default: throw NodeError("wire either 'image' or 'video', not \(image == nil ? "neither" : "both")")
        }
    }
}
