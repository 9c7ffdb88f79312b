import Models
import NodeKit
import Tensors

/// Generates the latent of one segment: the denoising loop of METHOD §2, of the network that the model names.
public struct DiTSegment: Node {
    public static let type: NodeType = "dit.segment"
    public static let version = 8
    public static let summary =
        "Generates the latent of one segment by flow matching, going on from where the last one ended."
    public static let cost = NodeCost(threads: .all, memory: 2 << 30)

    /// How the flow is integrated.
    public enum Sampler: String, ParameterChoice {
        case euler, heun, dpmpp2m, unipc
    }

    /// What the next segment goes on from.
    public enum Handover: String, ParameterChoice {
        /// The last latent frame, as it is: nothing is decoded and encoded again.
        case latent
        /// The last decoded frames, encoded again: what Wan's weights were given in training.
        case pixel
    }

    /// How the large linear layers hold their weights and multiply.
    public enum Numbers: String, ParameterChoice {
        case f32, bf16, int8

        var precision: Precision {
            switch self {
            case .f32: .f32
            case .bf16: .bf16
            case .int8: .int8
            }
        }
    }

    @Input(
        "The network: DreamActorTransformer, WanTransformer3DModel, WanAnimateTransformer3DModel, WanAnimate2Transformer3DModel, or a pipeline folder with one."
    )
    var model: ModelFolder
    @Input("Latents of the reference pictures; all but WanTransformer3DModel need them.") var reference: Reference?
    @Input("The segment before: its 'last'; none for the first.") var initial: Latent?
    @Input("The segment's frames, each.item: what it shares with the one before is as planned then.") var segment: Segments?

    // DreamActor
    @Input("DreamActor: pose features of the segment.") var pose: PoseFeatures?
    @Input("DreamActor: face motion of the segment's frames; not wired: the face is left to the model.") var face: FaceMotion?
    @Input("DreamActor: pose features of the reference pictures themselves, first picture first: the model then finds a limb's looks by the limb.")
    var referencePose: PoseFeatures?

    // Wan-Animate
    @Input("Wan-Animate: skeleton frames of the segment, 1 + 4k of them, at the film's size.") var poseVideo: Video?
    @Input("Wan-Animate: face crops of the segment; brought to the network's size where they have another.") var faceVideo: Video?
    @Input("Wan-Animate, to replace a person in a clip: the clip's frames at the film's size.") var background: Video?
    @Input("Wan-Animate, to replace a person: white where the film is generated, black where the background stays.") var mask: Video?
    @Input("Wan-Animate-2: the driving clip's frames of the segment, 1 + 4k of them, at the film's size.") var drivingVideo: Video?
    @Input("Wan-Animate-2: the tensor 'image_embeds', as image.encode makes it of the driving clip's first frame.") var drivingImage: TensorBundle?

    // Wan
    @Input("WanTransformer3DModel: the picture that the film begins with, at the film's size; none: a film of the prompt alone.") var firstPicture: Image?
    @Input("WanTransformer3DModel: the picture that the film ends with, at the film's size, where the network takes one.") var lastPicture: Image?
    @Input("Wan: the tensors 'prompt_embeds' and, for guidance, 'negative_prompt_embeds', as text.encode makes them; Wan-Animate-2: 'prompt_ref_embeds' too.")
    var text: TensorBundle?
    @Input("Wan: the tensor 'image_embeds', as image.encode makes it of the reference or the first picture.") var image: TensorBundle?
    @Input(
        "Wan: the tensor 'noise' [segments, 1, z, latent frames, h, w], instead of noise from the seed; in Wan-Animate the reference has a latent frame, too."
    )
    var noise: TensorBundle?
    @Input("Wan: the autoencoder, where 'model' is not a pipeline folder with one.") var vae: ModelFolder?
    @Input("Wan 2.2 of two networks: the one for low noise, where 'model' is not a pipeline folder with both.") var lowNoiseModel: ModelFolder?

    @Input("LoRA files whose changes are added to the network's weights.") var lora: [File]?
    @Input("Wan 2.2 of two networks: LoRA files of the one for low noise (transformer_2).") var lowNoiseLora: [File]?

    @Parameter("Denoising steps.", in: 1...1000) var steps = 20
    @Parameter("Integration: euler, dpmpp2m and unipc (Wan alone) take one pass of the network per step, heun two; not set: the model's own.")
    var sampler: Sampler? = nil
    @Parameter("More than 1 spends more steps near the noise; not set: the model's own.", in: 0.01...100)
    var shift: Double? = nil
    @Parameter("DreamActor: weight of the reference; 1 turns its guidance off.", name: "guidance.reference", in: 0...20)
    var guidanceReference = 2.5
    @Parameter("DreamActor: weight of pose and face; 1 turns their guidance off.", name: "guidance.motion", in: 0...20)
    var guidanceMotion = 2.5
    @Parameter("Wan: weight of prompt (and face, and driving clip); 1 turns their guidance off.", name: "guidance.prompt", in: 1...20)
    var guidancePrompt = 1.0
    @Parameter("Wan 2.2 of two networks: the weight at low noise, whatever guidance.prompt is (diffusers has none where that is 1); not set: guidance.prompt.", name: "guidance.lowNoise", in: 1...20)
    var guidanceLowNoise: Double? = nil
    @Parameter("Wan 2.2 of two networks: the share of the noise levels below which the one for low noise goes on (published: 0.875 of a prompt, 0.9 of a picture); not set: the pipeline's.", in: 0...1)
    var boundary: Double? = nil
    @Parameter("WanTransformer3DModel: size of the film; not set: that of 'firstPicture'.") var size: PixelSize? = nil
    @Parameter("WanTransformer3DModel: frames of the film, 1 + 4k; not set: 81.", in: 1...1201) var frames: Int? = nil
    @Parameter("Wan-Animate: what the next segment goes on from; not set: decoded pixels, as published.") var handover: Handover? = nil
    @Parameter("Wan-Animate: frames that a segment shares with the one before: 1, or 5 in pixels; not set: as planned, where 'segment' is wired, else 1.", in: 1...77)
    var overlap: Int? = nil
    @Parameter("Weight of each LoRA, in the order of 'lora'; 1 where none is given.") var loraWeights: [Double] = []
    @Parameter("The same for 'lowNoiseLora'.") var lowNoiseLoraWeights: [Double] = []
    @Parameter(
        "A step in whose first layer less than this share changes since the last full step reuses the other layers' work of that step: faster, less exact (0.05 … 0.2 is usual); 0: every step is full.",
        in: 0...10)
    var stepCache = 0.0
    @Parameter("Wan: side of the tiles, in pixels, in which the autoencoder encodes and decodes, as in vae.encode; 0: whole frames.", in: 0...8192)
    var tile = 0
    @Parameter("Another seed, another film.", in: 0...9_007_199_254_740_991) var seed = 7
    @Parameter("Numbers of the large layers: f32; bf16 (half the memory); int8 (a quarter, fastest, least exact).")
    var precision = Numbers.f32
    @Output("The segment's latent.") var latent: Latent
    @Output("What the next segment's 'initial' takes: the last latent frame, or with hand-over in pixels the segment's latent.") var last: Latent

    public init() {}

    /// One network's weights, with the LoRA files of its own.
    func weights(_ part: String, _ files: [File]?) throws -> WeightStore {
        let isLowNoise = part == "transformer_2"
        let files = files ?? [], weights = isLowNoise ? lowNoiseLoraWeights : loraWeights
        let name = isLowNoise ? "lowNoiseLora" : "lora"
        guard weights.allSatisfy({ Float($0).isFinite }) else { throw NodeError("'\(name)Weights' \(weights) must be finite numbers") }
        guard weights.count <= files.count else {
            throw NodeError("'\(name)Weights' has \(weights.count) weights for \(files.count) files of '\(name)'")
        }
        let adapters = try files.enumerated().map { try LowRankAdapter(path: $1.path, weight: $0 < weights.count ? Float(weights[$0]) : 1) }
        let path = try isLowNoise ? (lowNoiseModel ?? model).part(part) : model.part(part)
        return try WeightStore(path: path, precision: precision.precision, adapters: adapters)
    }

    public func run(in context: NodeContext) throws {
        let name = try WeightStore(path: model.part("transformer")).className()
        try checkSettings(for: name)
        try Parallel.$threads.withValue(context.threads) {
            switch name {
            case "DreamActorTransformer":
                let weights = try weights("transformer", lora)
                try generate(with: DreamActorTransformer(weights), weights: weights.identity, context)
            case "WanTransformer3DModel": try WanVideoSegment(node: self, context).generate()
            case "WanAnimateTransformer3DModel":
                try WanAnimateSegment(segment: WanSegment(node: self, context), network: WanTransformer(weights("transformer", lora))).generate()
            case "WanAnimate2Transformer3DModel":
                try WanAnimate2Segment(segment: WanSegment(node: self, context), network: WanAnimate2Transformer(weights("transformer", lora))).generate()
            case let other:
                throw NodeError(
                    "'\(try model.part("transformer"))' is a \(other); dit.segment knows DreamActorTransformer, WanTransformer3DModel, WanAnimateTransformer3DModel and WanAnimate2Transformer3DModel"
                )
            }
        }
    }
}
