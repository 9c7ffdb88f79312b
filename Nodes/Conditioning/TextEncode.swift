import Models
import NodeKit
import Tensors

/// Prompt → embeddings.
public struct TextEncode: Node {
    public static let type: NodeType = "text.encode"
    public static let version = 2
    public static let summary = "Encodes a prompt by UMT5 into the embeddings that Wan attends to."
    public static let cost = NodeCost(threads: .all, memory: 4 << 30)

    /// The numbers of the large layers.
    public enum Numbers: String, ParameterChoice {
        case f32, bf16

        var precision: Precision { self == .f32 ? .f32 : .bf16 }
    }

    @Input("UMT5EncoderModel, or a pipeline folder with text_encoder and tokenizer.") var model: ModelFolder
    @Input("The folder of tokenizer.json, where 'model' has none.") var tokenizer: ModelFolder?
    @Parameter("What the film shows. Wan-Animate was trained with this one sentence: leave it.") var prompt = "视频中的人在做动作"
    @Parameter("What it is not to show, for guidance; not set: no such embeddings are made.") var negative: String? = nil
    @Parameter("Wan-Animate-2: what is said of the driving clip; not set: no such embeddings are made.") var driving: String? = nil
    @Parameter("Whether white space, entities and quotes of the prompts are cleaned, as most published pipelines do.") var clean = true
    @Parameter("Tokens: longer prompts are cut, shorter ones filled with zeros.", in: 1...4096) var length = 512
    @Parameter("Numbers of the large layers: f32; bf16 (half the memory; weights stored so are used where they lie in the file).")
    var precision = Numbers.f32
    @Output("The tensors 'prompt_embeds' and, where there are such prompts, 'negative_prompt_embeds' and 'prompt_ref_embeds', [1, length, width].")
    var embeddings: TensorBundle

    public init() {}

    public func run(in context: NodeContext) throws {
        let tokenizer = try Tokenizer(folder: (tokenizer ?? model).part("tokenizer"))
        let path = try model.part("text_encoder")
        let weights = try WeightStore(path: path, precision: precision.precision)
        let name = try weights.className()
        guard ["UMT5EncoderModel", "UMT5Model", "UMT5ForConditionalGeneration"].contains(name) else {
            throw NodeError("'\(path)' is a \(name); text.encode knows UMT5EncoderModel, UMT5Model and UMT5ForConditionalGeneration")
        }
        let encoder = try Parallel.$threads.withValue(context.threads) { try UMT5Encoder(weights) }
        let width = encoder.configuration.dim
        var prompts = [("prompt_embeds", prompt)]
        if let negative { prompts.append(("negative_prompt_embeds", negative)) }
        if let driving { prompts.append(("prompt_ref_embeds", driving)) }
        try $embeddings.write { writer in
            for (name, text) in prompts {
                try context.checkCancelled()
                let tokens = tokenizer(clean ? PromptText.cleaned(text) : text, limit: length)
                guard tokens.allSatisfy({ (0..<encoder.configuration.vocabulary).contains($0) }) else {
                    throw NodeError("the tokenizer knows tokens that '\(path)' does not: give the tokenizer of this encoder")
                }
                // Padding is neither attended to nor kept, so it need not be computed.
                let states = tokens.isEmpty ? [] : try Parallel.$threads.withValue(context.threads) {
                    try encoder(tokens, isKept: [Bool](repeating: true, count: tokens.count)).array
                }
                context.log("\(tokens.count) tokens of \name")
                try writer.write(name, states + [Float](repeating: 0, count: length * width - states.count), shape: [1, length, width])
            }
        }
    }
}
