import Models
import NodeKit
import Tensors

/// Generates the latent of one segment: the denoising loop of METHOD §2.
public struct DiTSegment: Node {
    public static let type: NodeType = "dit.segment"
    public static let version = 3
    public static let summary =
        "Generates the latent of one segment by flow matching, going on from where the last one ended."
    public static let cost = NodeCost(threads: .all, memory: 2 << 30)

    /// How the flow is integrated.
    public enum Sampler: String, ParameterChoice {
        case euler, heun, dpmpp2m

        var solver: FlowSolver {
            switch self {
            case .euler: .euler
            case .heun: .heun
            case .dpmpp2m: .dpmpp2m
            }
        }
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

    @Input("Pose features of the segment.") var pose: PoseFeatures
    @Input("Face motion of the segment's frames; not wired: the face is left to the model.") var face: FaceMotion?
    @Input("Latents of the reference pictures.") var reference: Reference
    @Input("Pose features of the reference pictures themselves, first picture first: the model then finds a limb's looks by the limb.")
    var referencePose: PoseFeatures?
    @Input("The last latent of the segment before; none for the first.") var initial: Latent?
    @Input("The DiT.") var model: ModelFolder
    @Parameter("Denoising steps.", in: 1...1000) var steps = 20
    @Parameter("Integration: euler and dpmpp2m take one pass of the network per step, heun two.")
    var sampler = Sampler.euler
    @Parameter("More than 1 spends more steps near the noise; not set: the model's own.", in: 0.01...100)
    var shift: Double? = nil
    @Parameter("Weight of the reference; 1 turns its guidance off.", name: "guidance.reference", in: 0...20)
    var guidanceReference = 2.5
    @Parameter("Weight of pose and face; 1 turns their guidance off.", name: "guidance.motion", in: 0...20)
    var guidanceMotion = 2.5
    @Parameter("Another seed, another film.", in: 0...9_007_199_254_740_991) var seed = 7
    @Parameter("Numbers of the large layers: f32; bf16 (half the memory); int8 (a quarter, fastest, least exact).")
    var precision = Numbers.f32
    @Output("The segment's latent.") var latent: Latent
    @Output("Its last latent frame: the next segment's 'initial'.") var last: Latent

    public init() {}

    public func run(in context: NodeContext) throws {
        let dit = try DreamActorTransformer(WeightStore(path: model.path, precision: precision.precision))
        try Parallel.$threads.withValue(context.threads) { try generate(with: dit, context) }
    }

    private func generate(with dit: DreamActorTransformer, _ context: NodeContext) throws {
        let c = dit.configuration
        let shape = try check(c)
        if c.handover == .pixel, initial != nil {
            context.log(
                "the model was trained on a hand-over in pixels; this one is in latent space, so joins may show")
        }
        let (frames, plane) = (shape[1], shape[2] * shape[3])
        let firstFrame = initial?.firstFrame ?? 0
        let poseFeatures = Tensor(pose.grid.values, pose.grid.shape)
        let faceTokens = try faceTokens(c, latentFrames: frames)
        let references = Tensor(
            reference.latents, [reference.count, reference.channels, reference.height, reference.width])

        // Keys and values of the references: the same at every step.
        let guidance = Guidance(reference: guidanceReference, motion: guidanceMotion)
        let seen = dit.encode(references: references, pose: try referencePose(c))
        let unseen =
            guidance.passes.contains { !$0.pass.seesReference }
            ? dit.encode(references: Tensor(zeros: references.shape)) : nil

        // The clean first latent keeps its place through all steps: it has time 0 and no velocity.
        let pinned = initial.map { $0.grid.values } ?? []
        func pin(_ sample: inout [Float], _ value: (_ channel: Int, _ pixel: Int) -> Float) {
            guard !pinned.isEmpty else { return }
            for channel in 0..<shape[0] {
                for pixel in 0..<plane { sample[channel * frames * plane + pixel] = value(channel, pixel) }
            }
        }

        let flow = FlowSampler(
            schedule: FlowSchedule(steps: steps, shift: shift ?? c.shift), solver: sampler.solver)
        var state: FlowSampler.State
        if let saved = context.checkpoints?.load(),
            let found = SamplerCheckpoint.decode(saved, count: shape.reduce(1, *), steps: steps)
        {
            state = found
            context.log("going on after step \(found.step) of \(steps)")
        } else {
            state = FlowSampler.State(sample: noise(shape, firstFrame: firstFrame))
            pin(&state.sample) { pinned[$0 * plane + $1] }
        }
        context.progress(state.step, of: steps, "steps")
        while !flow.isFinished(state) {
            try context.checkCancelled()
            try flow.advance(&state) { sample, sigma in
                let x = Tensor(sample, shape)
                var times = [Double](repeating: sigma, count: frames)
                if !pinned.isEmpty { times[0] = 0 }
                var velocity = try guidance.velocity { pass in
                    try context.checkCancelled()
                    return dit(
                        x, timesteps: times, pose: pass.seesMotion ? poseFeatures : nil,
                        face: pass.seesMotion ? faceTokens : nil,
                        references: pass.seesReference ? seen : unseen ?? seen
                    ).array
                }
                pin(&velocity) { _, _ in 0 }
                return velocity
            }
            // Solvers blend x with itself there, which may round: put the exact values back.
            pin(&state.sample) { pinned[$0 * plane + $1] }
            try context.checkpoints?.save(SamplerCheckpoint.encode(state))
            context.progress(state.step, of: steps, "steps")
        }
        guard state.sample.allSatisfy(\.isFinite) else {
            throw NodeError(
                "the latent is not finite: the model's weights or inputs do not fit these settings (guidance \(guidanceReference), \(guidanceMotion))"
            )
        }
        let grid = LatentGrid(
            channels: shape[0], frames: frames, height: shape[2], width: shape[3], values: state.sample)
        try $latent.set(Latent(grid: grid, firstFrame: firstFrame))
        try $last.set(Latent(grid: grid.slice((frames - 1)..<frames), firstFrame: firstFrame + 4 * (frames - 1)))
    }

    /// Noise that depends on the seed and the place in the whole film only, `[C, T, h, w]`.
    private func noise(_ shape: [Int], firstFrame: Int) -> [Float] {
        let plane = shape[2] * shape[3]
        var sample = [Float](repeating: 0, count: shape.reduce(1, *))
        for frame in 0..<shape[1] {
            let random = Randomness(seed: UInt64(seed), stream: UInt64(firstFrame / 4 + frame))
            let values = random.normals(from: 0, count: shape[0] * plane)
            for channel in 0..<shape[0] {
                for pixel in 0..<plane {
                    sample[(channel * shape[1] + frame) * plane + pixel] = values[channel * plane + pixel]
                }
            }
        }
        return sample
    }

    /// Checks that the inputs fit one another and the model, and returns the latent's shape `[C, T, h, w]`.
    private func check(_ c: DreamActorConfiguration) throws -> [Int] {
        let grid = pose.grid
        guard grid.channels == c.poseChannels else {
            throw NodeError(
                "pose features of \(grid.channels) channels, the DiT takes \(c.poseChannels); use the pose encoder that it was trained with"
            )
        }
        guard reference.channels == c.inChannels else {
            throw NodeError(
                "reference latents of \(reference.channels) channels, the DiT takes \(c.inChannels); use the autoencoder that it was trained with"
            )
        }
        guard reference.height == grid.height, reference.width == grid.width, reference.count > 0 else {
            throw NodeError(
                "the reference is \(reference.width * 8)×\(reference.height * 8) pixels, the pose maps \(grid.width * 8)×\(grid.height * 8): load the reference at the maps' size"
            )
        }
        guard grid.height % c.patch == 0, grid.width % c.patch == 0 else {
            throw NodeError(
                "a film of \(grid.width * 8)×\(grid.height * 8): both sides must be multiples of \(8 * c.patch)")
        }
        if let initial {
            guard initial.grid.shape == [c.inChannels, 1, grid.height, grid.width] else {
                throw NodeError(
                    "the initial latent is \(initial.grid.shape), [\(c.inChannels), 1, \(grid.height), \(grid.width)] expected: wire 'last' of the segment before"
                )
            }
            guard initial.firstFrame >= 0 else {
                throw NodeError("the initial latent lies at frame \(initial.firstFrame)")
            }
        }
        return [c.inChannels, grid.frames, grid.height, grid.width]
    }

    /// Features of the references' own poses `[R, P, h, w]`, zeros for pictures that have none.
    private func referencePose(_ c: DreamActorConfiguration) throws -> Tensor? {
        guard let grid = referencePose?.grid else { return nil }
        guard grid.channels == c.poseChannels, grid.height == reference.height, grid.width == reference.width,
            grid.frames <= reference.count
        else {
            throw NodeError(
                "'referencePose' is \(grid.shape), at most [\(c.poseChannels), \(reference.count), \(reference.height), \(reference.width)] expected: encode the references' own maps, drawn at their size"
            )
        }
        return Tensor(grid.values, grid.shape).permuted(1, 0, 2, 3).padded(0, after: reference.count - grid.frames, .zeros)
    }

    /// Face tokens of 1 + 4·(T − 1) frames, `[F, N, c]`; the last frame's are held where the clip ends between two latents.
    private func faceTokens(_ c: DreamActorConfiguration, latentFrames: Int) throws -> Tensor? {
        guard let face, c.faceAttention else { return nil }
        let count = face.timeline.count
        guard count > 0, SegmentPlan.latentFrames(count) == latentFrames else {
            throw NodeError(
                "face motion of \(count) frames for \(latentFrames) latent frames; cut both by the same segment")
        }
        guard face.tokenCount == c.faceTokens, face.channels == c.faceDim else {
            throw NodeError(
                "face motion of \(face.tokenCount) tokens × \(face.channels) channels, the DiT takes \(c.faceTokens) × \(c.faceDim); use the encoder that it was trained with"
            )
        }
        let tokens = Tensor(face.tokens, [count, c.faceTokens, c.faceDim])
        return tokens.padded(0, after: 1 + 4 * (latentFrames - 1) - count, .replicated)
    }
}
