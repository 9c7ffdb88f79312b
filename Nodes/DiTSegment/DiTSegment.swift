import Models
import NodeKit
import Tensors

/// Generates the latent of one segment: the denoising loop of METHOD §2, of the network that the model names.
public struct DiTSegment: Node {
    public static let type: NodeType = "dit.segment"
    public static let version = 4
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

    @Input("The network: DreamActorTransformer, WanAnimateTransformer3DModel, or a pipeline folder with one.") var model: ModelFolder
    @Input("Latents of the reference pictures.") var reference: Reference
    @Input("The segment before: its 'last'; none for the first.") var initial: Latent?

    // DreamActor
    @Input("DreamActor: pose features of the segment.") var pose: PoseFeatures?
    @Input("DreamActor: face motion of the segment's frames; not wired: the face is left to the model.") var face: FaceMotion?
    @Input("DreamActor: pose features of the reference pictures themselves, first picture first: the model then finds a limb's looks by the limb.")
    var referencePose: PoseFeatures?

    // Wan-Animate
    @Input("Wan: skeleton frames of the segment, 1 + 4k of them, at the film's size.") var poseVideo: Video?
    @Input("Wan: face crops of the segment; brought to the network's size where they have another.") var faceVideo: Video?
    @Input("Wan, to replace a person in a clip: the clip's frames at the film's size.") var background: Video?
    @Input("Wan, to replace a person: white where the film is generated, black where the background stays.") var mask: Video?
    @Input("Wan: the tensors 'prompt_embeds' and, for guidance, 'negative_prompt_embeds', as text.encode makes them.") var text: TensorBundle?
    @Input("Wan: the tensor 'image_embeds', as image.encode makes it of the reference.") var image: TensorBundle?
    @Input("Wan: the tensor 'noise' [segments, 1, z, 1 + latent frames, h, w], instead of noise from the seed.") var noise: TensorBundle?
    @Input("Wan: the autoencoder, where 'model' is not a pipeline folder with one.") var vae: ModelFolder?

    @Input("LoRA files whose changes are added to the network's weights.") var lora: [File]?

    @Parameter("Denoising steps.", in: 1...1000) var steps = 20
    @Parameter("Integration: euler, dpmpp2m and unipc (Wan) take one pass of the network per step, heun (DreamActor) two; not set: the model's own.")
    var sampler: Sampler? = nil
    @Parameter("More than 1 spends more steps near the noise; not set: the model's own.", in: 0.01...100)
    var shift: Double? = nil
    @Parameter("DreamActor: weight of the reference; 1 turns its guidance off.", name: "guidance.reference", in: 0...20)
    var guidanceReference = 2.5
    @Parameter("DreamActor: weight of pose and face; 1 turns their guidance off.", name: "guidance.motion", in: 0...20)
    var guidanceMotion = 2.5
    @Parameter("Wan: weight of prompt and face; 1 turns their guidance off.", name: "guidance.prompt", in: 1...20)
    var guidancePrompt = 1.0
    @Parameter("Wan: what the next segment goes on from; not set: decoded pixels, as published.") var handover: Handover? = nil
    @Parameter("Wan: frames that a segment shares with the one before, as in segments.plan: 1, or 5 in pixels.", in: 1...77) var overlap = 1
    @Parameter("Weight of each LoRA, in the order of 'lora'; 1 where none is given.") var loraWeights: [Double] = []
    @Parameter(
        "A step in whose first layer less than this share changes since the last full step reuses the other layers' work of that step: faster, less exact (0.05 … 0.2 is usual); 0: every step is full.",
        in: 0...10)
    var stepCache = 0.0
    @Parameter("Another seed, another film.", in: 0...9_007_199_254_740_991) var seed = 7
    @Parameter("Numbers of the large layers: f32; bf16 (half the memory); int8 (a quarter, fastest, least exact).")
    var precision = Numbers.f32
    @Output("The segment's latent.") var latent: Latent
    @Output("What the next segment's 'initial' takes: the last latent frame, or with hand-over in pixels the segment's latent.") var last: Latent

    public init() {}

    private func adapters() throws -> [LowRankAdapter] {
        let files = lora ?? []
        guard loraWeights.count <= files.count, loraWeights.allSatisfy(\.isFinite) else {
            throw NodeError("'loraWeights' has \(loraWeights.count) weights for \(files.count) files of 'lora'")
        }
        return try files.enumerated().map { try LowRankAdapter(path: $1.path, weight: $0 < loraWeights.count ? Float(loraWeights[$0]) : 1) }
    }

    public func run(in context: NodeContext) throws {
        let path = try model.part("transformer")
        let weights = try WeightStore(path: path, precision: precision.precision, adapters: adapters())
        try Parallel.$threads.withValue(context.threads) {
            switch try weights.className() {
            case "DreamActorTransformer": try generate(with: DreamActorTransformer(weights), context)
            case "WanAnimateTransformer3DModel":
                let published = try PublishedSampling(model: model, sampler: sampler, steps: steps, shift: shift)
                try WanAnimateSegment(node: self, network: WanTransformer(weights), sampling: published).generate(context)
            case let other:
                throw NodeError(
                    "'\(path)' is a \(other); dit.segment knows DreamActorTransformer and WanAnimateTransformer3DModel")
            }
        }
    }
}
