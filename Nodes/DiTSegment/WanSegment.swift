import Models
import NodeKit
import Tensors

/// What the segments of all Wan networks share: their size, what is known of them, noise, and the walk from noise to a latent.
struct WanSegment {
    let node: DiTSegment
    let vae: VideoAutoencoder
    private let tiling: VAETiling?
    let sampling: PublishedSampling
    /// Frames that the segment shares with the one before.
    let overlap: Int
    let context: NodeContext

    init(node: DiTSegment, _ context: NodeContext) throws {
        guard node.vae != nil || node.model.isPipeline else {
            throw NodeError("'\(node.model.path)' has no autoencoder: wire 'vae', or give a pipeline folder as 'model'")
        }
        self.node = node
        self.context = context
        overlap = try node.sharedFrames()
        // Latent frames are known as a whole or not at all.
        guard overlap % 4 == 1 else { throw NodeError("segments that share \(overlap) frames: 1, 5 or another 1 + 4k expected, as latent frames hold them") }
        vae = try VideoAutoencoder(WeightStore(path: (node.vae ?? node.model).part("vae")))
        tiling = try VAETiling.of(tile: node.tile, spatialStride: vae.spatialStride)
        sampling = try PublishedSampling(model: node.model, sampler: node.sampler, steps: node.steps, shift: node.shift)
    }

    // MARK: Size

    /// What a segment's size follows from.
    struct Shape {
        /// Video and latent frames of the segment.
        let frames, latents: Int
        /// The film, in pixels, and its latent.
        let width, height, w, h, channels: Int

        /// The latent's shape `[z, T, h, w]`, with so many latent frames before it.
        func latent(after extra: Int = 0) -> [Int] { [channels, latents + extra, h, w] }
    }

    /// - Parameters:
    ///   - framesAdvice: How the number of frames is mended, where it is not 1 + 4k.
    ///   - sizeAdvice: How the size is mended, where it is not whole patches.
    func shape(
        frames: Int, width: Int, height: Int, _ c: WanConfiguration, framesAdvice: String = "plan with whole: true and extend the clips by video.fit",
        sizeAdvice: String = "video.fit and image.fit bring clips and pictures to such a size"
    ) throws -> Shape {
        let stride = vae.spatialStride
        let unit = (rows: stride * c.patchSize[1], columns: stride * c.patchSize[2])
        guard width > 0, height > 0, height % unit.rows == 0, width % unit.columns == 0 else {
            let sides = unit.columns == unit.rows ? "both sides must be multiples of \(unit.rows)" : "the width must be a multiple of \(unit.columns), the height of \(unit.rows)"
            throw NodeError("a film of \(width)×\(height): \(sides); \(sizeAdvice)")
        }
        guard frames % 4 == 1 else {
            throw NodeError("a segment of \(frames) frames, 1 + 4k expected: \(framesAdvice)")
        }
        guard c.patchSize[0] == 1, vae.latentChannels == c.outChannels else {
            throw NodeError("the autoencoder has \(vae.latentChannels) latent channels, the network gives \(c.outChannels); use the one that it was trained with")
        }
        return Shape(
            frames: frames, latents: 1 + (frames - 1) / 4, width: width, height: height, w: width / stride, h: height / stride,
            channels: c.outChannels)
    }

    func check(_ video: Video, _ name: String, _ shape: Shape, isCanvas: Bool = false) throws {
        guard video.count == shape.frames else {
            throw NodeError("'\(name)' has \(video.count) frames, the segment \(shape.frames); cut all clips by the same segment")
        }
        guard !isCanvas || (video.width == shape.width && video.height == shape.height) else {
            throw NodeError("'\(name)' is \(video.width)×\(video.height), the film \(shape.width)×\(shape.height); bring it there by video.fit")
        }
    }

    // MARK: What is known

    /// `[n, width]` of a tensor that may have a batch; the items of a batch follow one another.
    func tokens(_ bundle: TensorBundle, _ name: String, _ width: Int, count: Int? = nil) throws -> Tensor {
        guard let info = bundle.file.tensors[name] else {
            throw NodeError("there is no tensor '\(name)'; there are \(bundle.file.tensors.keys.sorted().prefix(8).joined(separator: ", "))")
        }
        let shape = info.shape
        guard (2...3).contains(shape.count), shape.last == width, info.count > 0 else {
            throw NodeError("'\(name)' is \(shape), [1, tokens, \(width)] expected: use the encoder that the network was trained with")
        }
        let found = info.count / width
        guard count.map({ $0 == found }) ?? true else { throw NodeError("'\(name)' has \(found) tokens, the network takes \(count ?? 0)") }
        return try Tensor(bundle.file, name).reshaped(found, width)
    }

    /// The reference picture's latent, `[z, 1, h, w]`.
    func referenceLatent(_ shape: Shape) throws -> Tensor {
        guard let r = node.reference else { throw NodeError("the network needs 'reference': wire reference.encode's latents") }
        guard r.channels == shape.channels, r.height == shape.h, r.width == shape.w, r.count > 0 else {
            throw NodeError(
                "the reference latent is [\(r.channels), \(r.height), \(r.width)], [\(shape.channels), \(shape.h), \(shape.w)] expected: fit the picture to the film's size before reference.encode"
            )
        }
        if r.count > 1 { context.log("Wan takes one reference picture: the first of \(r.count)") }
        return Tensor(r.latents[..<(shape.channels * shape.h * shape.w)], [shape.channels, 1, shape.h, shape.w])
    }

    /// The latent of what is known of the segment `[z, T, h, w]`, and the film's frame that the segment begins at.
    ///
    /// - Parameter background: What is known of the frames after those that are handed over; black is grey (0) there where it is nil.
    func knownFrames(_ shape: Shape, background: Video? = nil) throws -> (firstFrame: Int, latent: Tensor) {
        let nothing = nothing(shape)
        func rest(_ index: Int) -> Tensor { background?.tensor(index) ?? nothing }
        guard overlap < shape.frames else { throw NodeError("a segment of \(shape.frames) frames cannot share \(overlap)") }
        guard let initial = node.initial else { return (0, try encode(shape, rest)) }
        let grid = initial.grid
        guard grid.channels == shape.channels, grid.height == shape.h, grid.width == shape.w else {
            throw NodeError("the initial latent is \(grid.shape), [\(shape.channels), …, \(shape.h), \(shape.w)] expected: wire 'last' of the segment before")
        }
        if node.handover == .latent {
            guard grid.frames == 1 else {
                throw NodeError("hand-over in latents takes the last latent frame, not \(grid.frames) of them: wire 'last' of a segment with handover: latent")
            }
            guard overlap == 1 else {
                throw NodeError("hand-over in latents shares one frame, and these segments share \(overlap): plan with overlap: 1, or hand over in pixels")
            }
            let known = try encode(shape, rest)
            let first = Tensor(grid.values, grid.shape)
            return (initial.firstFrame, Tensor.concatenated([first, known.sliced(1, 1..<shape.latents)], 1))
        }
        let tail = try lastFrames(of: grid, overlap)
        let firstFrame = initial.firstFrame + 4 * (grid.frames - 1) + 1 - overlap
        let known = try encode(shape) { $0 < overlap ? tail.sliced(1, $0..<($0 + 1)) : rest($0) }
        return (firstFrame, known)
    }

    /// A frame of which nothing is known, `[3, 1, H, W]`.
    func nothing(_ shape: Shape) -> Tensor { Tensor(zeros: [3, 1, shape.height, shape.width]) }

    /// The last decoded frames of a segment, `[3, count, H, W]` in −1 … 1.
    private func lastFrames(of grid: LatentGrid, _ count: Int) throws -> Tensor {
        guard count <= 4 * (grid.frames - 1) + 1 else {
            throw NodeError("overlap: \(count) is more than the \(4 * (grid.frames - 1) + 1) frames of the segment before; wire its 'last' with the same handover")
        }
        var frames: [Tensor] = []
        try vae.decode(
            count: grid.frames, tiling: tiling, scratch: context.scratch, progress: { _, _ in try context.checkCancelled() },
            latent: { index in
                let latent = try grid.slice(index..<(index + 1))
                return Tensor(latent.values, latent.shape)
            },
            frames: {
                frames.append($0)
                // Four frames each but the first: the last two pieces hold five.
                if frames.map({ $0.shape[1] }).reduce(0, +) >= count + 4 { frames.removeFirst() }
            })
        let all = Tensor.concatenated(frames, 1)
        return all.sliced(1, (all.shape[1] - count)..<all.shape[1])
    }

    /// Encodes a clip given frame by frame `[3, 1, H, W]` to a standardised latent `[z, T, h, w]`.
    ///
    /// - Parameter count: Number of frames; nil: all of the segment.
    func encode(_ shape: Shape, count: Int? = nil, _ frame: (Int) throws -> Tensor) throws -> Tensor {
        try vae.encode(count: count ?? shape.frames, tiling: tiling) { _, _ in try context.checkCancelled() } frames: {
            Tensor.concatenated(try $0.map(frame), 1)
        }
    }

    /// The four mask channels `[4, T, h, w]` of frames that are known as a whole: 1 there.
    func maskChannels(_ shape: Shape, isKnown: (Int) -> Bool) -> Tensor {
        let plane = shape.h * shape.w
        let pixels = Tensor([shape.frames, shape.h, shape.w]) { out in
            for frame in 0..<shape.frames {
                let value: Float = isKnown(frame) ? 1 : 0
                for pixel in 0..<plane { out.initializeElement(at: frame * plane + pixel, to: value) }
            }
        }
        return WanFraming.packed(pixels)
    }

    // MARK: From noise to a latent

    /// Noise of the segment: given, or of the seed and the segment's place in the film.
    private func noise(_ sampleShape: [Int], _ shape: Shape, firstFrame: Int) throws -> [Float] {
        guard let file = node.noise?.file else {
            return Randomness(seed: UInt64(node.seed), stream: UInt64(firstFrame)).normals(from: 0, count: sampleShape.reduce(1, *))
        }
        let segment = firstFrame / max(1, shape.frames - overlap)
        let found = try file.info("noise").shape
        // One film's noise may come without a list of segments.
        let segments = found.count == 5 ? [1] + found : found
        guard segments.count == 6, segments[1] == 1, Array(segments[2...]) == sampleShape, segment < segments[0] else {
            throw NodeError("'noise' is \(found), [segments, 1, \(sampleShape.map(String.init).joined(separator: ", "))] expected, with at least \(segment + 1) segments")
        }
        return try Tensor(file, "noise").reshaped(segments).selected(0, segment).array
    }

    /// Goes from noise to a clean sample.
    ///
    /// - Parameters:
    ///   - extra: Latent frames of the sample before the segment's own.
    ///   - velocity: `(sample [z, extra + T, h, w], timestep) → velocity`, of one shape.
    func sample(
        _ shape: Shape, extra: Int, firstFrame: Int, isResumable: Bool, velocity: (_ sample: Tensor, _ timestep: Float) throws -> Tensor
    ) throws -> Tensor {
        let sampleShape = shape.latent(after: extra)
        let sample = try sampling.run(noise: noise(sampleShape, shape, firstFrame: firstFrame), context, isResumable: isResumable) {
            try velocity(Tensor($0, sampleShape), $1).array
        }
        guard sample.allSatisfy(\.isFinite) else {
            throw NodeError("the latent is not finite: the model's weights or inputs do not fit these settings")
        }
        return Tensor(sample, sampleShape)
    }

    /// Hands out the segment's latent `[z, T, h, w]`, and what the next segment takes.
    func finish(_ sample: Tensor, _ shape: Shape, firstFrame: Int) throws {
        let grid = LatentGrid(channels: shape.channels, frames: shape.latents, height: shape.h, width: shape.w, values: sample.array)
        let isSeparate = node.handover != .latent
        let latent = Latent(grid: grid, firstFrame: firstFrame, isSeparate: isSeparate)
        try node.$latent.set(latent)
        let last = isSeparate
            ? latent : Latent(grid: try grid.slice((shape.latents - 1)..<shape.latents), firstFrame: firstFrame + shape.frames - 1)
        try node.$last.set(last)
    }
}

/// The branches of classifier-free guidance through a run of a sampler: what is asked for, and what is not.
struct WanBranches {
    let network: WanTransformer
    let conditionings: [WanConditioning]
    let scale: Float
    let caches: [StepCache]?

    /// - Parameter negative: Nil without guidance.
    init(_ network: WanTransformer, positive: WanConditioning, negative: WanConditioning?, scale: Double, stepCache: Double) {
        self.network = network
        conditionings = [positive] + (negative.map { [$0] } ?? [])
        self.scale = Float(scale)
        caches = stepCache > 0 ? conditionings.map { _ in StepCache(threshold: stepCache) } : nil
    }

    /// The guided velocity.
    func callAsFunction(_ x: Tensor, timesteps: [Float]) throws -> Tensor {
        let velocities = try network(x, timesteps: timesteps, conditionings, caches: caches)
        return velocities.count > 1 ? velocities[1] + (velocities[0] - velocities[1]) * scale : velocities[0]
    }

    func log(to context: NodeContext) {
        if let caches { context.log("\(caches.reduce(0) { $0 + $1.reusedSteps }) passes reused the work of an earlier step") }
    }
}

extension Video {
    /// One frame, `[3, 1, H, W]` in −1 … 1.
    func tensor(_ index: Int) -> Tensor { PixelConversion.tensor([frame(index)], width: width, height: height) }
}
