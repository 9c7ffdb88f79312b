import Models
import NodeKit
import Tensors

extension DiTSegment {
    /// Generates with a DreamActor network.
    ///
    /// - Parameter weights: Names its weights, if they can be named.
    func generate(with dit: DreamActorTransformer, weights: String?, _ context: NodeContext) throws {
        let c = dit.configuration
        guard let pose, let reference else {
            throw NodeError("a DreamActorTransformer needs 'pose' and 'reference': wire pose.encode's features and reference.encode's latents")
        }
        guard handover != .pixel else { throw NodeError("a DreamActorTransformer hands over in latents; remove handover: pixel") }
        let shared = try sharedFrames()
        guard shared == 1 else { throw NodeError("segments of a DreamActorTransformer share one frame, not \(shared): plan with overlap: 1") }
        let solver = try solver()
        let shape = try check(c, pose, reference)
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

        // Keys and values of the references: the same at every step, and mostly in every segment.
        func encoded(_ references: Tensor, pose: Tensor?) -> ReferenceCache {
            ReferenceMemory.shared.cache(network: weights, references: references, pose: pose) { dit.encode(references: references, pose: pose) }
        }
        let guidance = Guidance(reference: guidanceReference, motion: guidanceMotion)
        let seen = encoded(references, pose: try referencePose(c, reference))
        let unseen =
            guidance.passes.contains { !$0.pass.seesReference }
            ? encoded(Tensor(zeros: references.shape), pose: nil) : nil

        // The clean first latent keeps its place through all steps: it has time 0 and no velocity.
        let pinned = initial.map { $0.grid.values } ?? []
        func pin(_ sample: inout [Float], _ value: (_ channel: Int, _ pixel: Int) -> Float) {
            guard !pinned.isEmpty else { return }
            for channel in 0..<shape[0] {
                for pixel in 0..<plane { sample[channel * frames * plane + pixel] = value(channel, pixel) }
            }
        }

        // One for each kind of pass: they see other signals.
        let caches = Guidance.Pass.allCases.map { _ in StepCache(threshold: stepCache) }
        let flow = FlowSampler(
            schedule: FlowSchedule(steps: steps, shift: shift ?? c.shift), solver: solver)
        var state: FlowSampler.State
        // What steps reuse is not saved: such a run begins its segment anew.
        let checkpoints = stepCache > 0 ? nil : context.checkpoints
        if let found = checkpoints?.load().flatMap({ FlowSampler.State($0, count: shape.reduce(1, *), steps: steps) }) {
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
                        references: pass.seesReference ? seen : unseen ?? seen, cache: stepCache > 0 ? caches[pass.rawValue] : nil
                    ).array
                }
                pin(&velocity) { _, _ in 0 }
                return velocity
            }
            // Solvers blend x with itself there, which may round: put the exact values back.
            pin(&state.sample) { pinned[$0 * plane + $1] }
            try checkpoints?.save(state.bytes)
            context.progress(state.step, of: steps, "steps")
        }
        if stepCache > 0 { context.log("\(caches.reduce(0) { $0 + $1.reusedSteps }) passes reused the work of an earlier step") }
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

    private func solver() throws -> FlowSolver {
        switch sampler ?? .euler {
        case .euler: return .euler
        case .heun: return .heun
        case .dpmpp2m: return .dpmpp2m
        case .unipc: throw NodeError("sampler: unipc belongs to Wan; a DreamActorTransformer takes euler, heun or dpmpp2m")
        }
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
    private func check(_ c: DreamActorConfiguration, _ pose: PoseFeatures, _ reference: Reference) throws -> [Int] {
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
    private func referencePose(_ c: DreamActorConfiguration, _ reference: Reference) throws -> Tensor? {
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
