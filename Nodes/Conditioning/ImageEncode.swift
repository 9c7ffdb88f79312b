import Models
import NodeKit
import Tensors

/// Picture → CLIP's tokens.
public struct ImageEncode: Node {
    public static let type: NodeType = "image.encode"
    public static let version = 1
    public static let summary = "Encodes a picture by CLIP into the tokens that Wan attends to."
    public static let cost = NodeCost(threads: .all, memory: 3 << 30)

    @Input("The picture as it is: it is brought to CLIP's size here.") var image: Image
    @Input("CLIPVisionModel, or a pipeline folder with image_encoder and image_processor.") var model: ModelFolder
    @Input("The folder of preprocessor_config.json, where 'model' has none.") var processor: ModelFolder?
    @Parameter("Numbers of the large layers: f32; bf16 (half the memory; weights stored so are used where they lie in the file).")
    var precision = TextEncode.Numbers.f32
    @Output("The tensor 'image_embeds' [1, tokens, width]: the last hidden state but one.") var embeddings: TensorBundle

    public init() {}

    public func run(in context: NodeContext) throws {
        let processor = try CLIPImageProcessor(folder: (processor ?? model).part("image_processor"))
        let path = try model.part("image_encoder")
        let weights = try WeightStore(path: path, precision: precision.precision)
        let name = try weights.className()
        guard ["CLIPVisionModel", "CLIPVisionModelWithProjection", "CLIPModel"].contains(name) else {
            throw NodeError("'\(path)' is a \(name); image.encode knows CLIPVisionModel, CLIPVisionModelWithProjection and CLIPModel")
        }
        let network = try CLIPVision(weights)
        let c = network.configuration
        let tokens = try Parallel.$threads.withValue(context.threads) {
            let pixels = processor(image.pixels, width: image.width, height: image.height)
            guard pixels.shape == [c.channels, c.imageSize, c.imageSize] else {
                throw NodeError("the preprocessing gives \(pixels.shape), '\(path)' takes [\(c.channels), \(c.imageSize), \(c.imageSize)]")
            }
            return network(pixels).hiddenStates[c.layers - 1]
        }
        try $embeddings.write { try $0.write("image_embeds", tokens.array, shape: [1] + tokens.shape) }
    }
}
