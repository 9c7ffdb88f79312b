import Models
import NodeKit
import Tensors

/// One segment of Wan-Animate, as its published pipeline makes it.
///
/// Latent frame 0 of what the network sees is the reference; frames 1 … T are the segment's. Channels are the noisy latent (z), the mask
/// of known frames (4) and the latent of what is known (z).
struct WanAnimateSegment {
    let node: DiTSegment
    let network: WanTransformer
    let sampling: PublishedSampling

    private var c: WanConfiguration { network.configuration }

    /// What the segment's size follows from.
    private struct Shape {
        /// Video and latent frames of the segment.
        let frames, latents: Int
        /// The film, in pixels, and its latent.
        let width, height, w, h, channels: Int
    }

    func generate(_ context: NodeContext) throws {
        guard let poseVideo = node.poseVideo, let faceVideo = node.faceVideo, let text = node.text else {
            throw NodeError("a WanAnimateTransformer3DModel needs 'poseVideo', 'faceVideo' and 'text': see Graphs/wan-animate.yaml")
        }
        guard node.vae != nil || node.model.isPipeline else {
            throw NodeError("'\(node.model.path)' has no autoencoder: wire 'vae', or give a pipeline folder as 'model'")
        }
        let vae = try VideoAutoencoder(WeightStore(path: (node.vae ?? node.model).part("vae")))
        let shape = try shape(of: poseVideo, vae)
        try check(faceVideo, "faceVideo", shape)
        let prompt = try tokens(text, "prompt_embeds", c.textDim)
        guard prompt.shape[0] == 512 else { throw NodeError("'prompt_embeds' has \(prompt.shape[0]) tokens, Wan takes 512") }
        let picture = try c.imageDim.map { width in
            guard let image = node.image else { throw NodeError("the network sees the reference by CLIP too: wire 'image', as image.encode makes it") }
            return try tokens(image, "image_embeds", width)
        }
        let reference = try referenceLatent(shape, context)

        // What is known: the reference, then the frames that the segment begins with, on nothing or on the background.
        let (firstFrame, known) = try knownFrames(vae, shape, context)
        let mask = try maskChannels(isFirst: node.initial == nil, shape)
        let ones = Tensor(repeating: 1, [4, 1, shape.h, shape.w])
        let condition = Tensor.concatenated(
            [Tensor.concatenated([ones, reference], 0), Tensor.concatenated([mask, known], 0)], 1)

        let pose = try encode(vae, shape, context) { poseVideo.tensor($0) }
        let face = try faces(faceVideo, context)
        let guided = node.guidancePrompt > 1
        let positive = network.conditioning(text: prompt, image: picture, pose: pose, face: face)
        let negative =
            guided
            ? network.conditioning(
                text: try tokens(text, "negative_prompt_embeds", c.textDim), image: picture, pose: pose,
                face: Tensor(repeating: -1, face.shape)) : nil

        let sampleShape = [shape.channels, shape.latents + 1, shape.h, shape.w]
        let scale = Float(node.guidancePrompt)
        let branches = [positive] + (negative.map { [$0] } ?? [])
        let caches = node.stepCache > 0 ? branches.map { _ in StepCache(threshold: node.stepCache) } : nil
        let sample = try sampling.run(
            noise: noise(sampleShape, shape, firstFrame: firstFrame), context, isResumable: caches == nil
        ) { sample, timestep in
            let x = Tensor.concatenated([Tensor(sample, sampleShape), condition], 0)
            let velocities = network(x, timesteps: [timestep], branches, caches: caches)
            guard velocities.count > 1 else { return velocities[0].array }
            return (velocities[1] + (velocities[0] - velocities[1]) * scale).array
        }
        if let caches { context.log("\(caches.reduce(0) { $0 + $1.reusedSteps }) passes reused the work of an earlier step") }
        guard sample.allSatisfy(\.isFinite) else {
            throw NodeError("the latent is not finite: the model's weights or inputs do not fit these settings")
        }
        let all = LatentGrid(
            channels: shape.channels, frames: shape.latents + 1, height: shape.h, width: shape.w, values: sample)
        let grid = try all.slice(1..<(shape.latents + 1))
        let isSeparate = node.handover != .latent
        let latent = Latent(grid: grid, firstFrame: firstFrame, isSeparate: isSeparate)
        try node.$latent.set(latent)
        let last = isSeparate
            ? latent : Latent(grid: try grid.slice((shape.latents - 1)..<shape.latents), firstFrame: firstFrame + shape.frames - 1)
        try node.$last.set(last)
    }

    // MARK: Conditions

    /// The reference picture's latent, `[z, 1, h, w]`.
    private func referenceLatent(_ shape: Shape, _ context: NodeContext) throws -> Tensor {
        let r = node.reference
        guard r.channels == shape.channels, r.height == shape.h, r.width == shape.w, r.count > 0 else {
            throw NodeError(
                "the reference latent is [\(r.channels), \(r.height), \(r.width)], [\(shape.channels), \(shape.h), \(shape.w)] expected: fit the picture to the film's size before reference.encode"
            )
        }
        if r.count > 1 { context.log("Wan-Animate takes one reference picture: the first of \(r.count)") }
        return Tensor(r.latents[..<(shape.channels * shape.h * shape.w)], [shape.channels, 1, shape.h, shape.w])
    }

    /// The latent of what is known of the segment `[z, T, h, w]`, and the film's frame that the segment begins at.
    private func knownFrames(_ vae: VideoAutoencoder, _ shape: Shape, _ context: NodeContext) throws -> (firstFrame: Int, latent: Tensor) {
        if let background = node.background { try check(background, "background", shape, isCanvas: true) }
        let nothing = Tensor(zeros: [3, 1, shape.height, shape.width])
        func rest(_ index: Int) -> Tensor { node.background?.tensor(index) ?? nothing }
        guard let initial = node.initial else { return (0, try encode(vae, shape, context, rest)) }
        let grid = initial.grid
        guard grid.channels == shape.channels, grid.height == shape.h, grid.width == shape.w else {
            throw NodeError("the initial latent is \(grid.shape), [\(shape.channels), …, \(shape.h), \(shape.w)] expected: wire 'last' of the segment before")
        }
        if node.handover == .latent {
            guard grid.frames == 1, node.overlap == 1 else {
                throw NodeError("hand-over in latents takes one latent frame and overlap: 1, not \(grid.frames) frames and overlap: \(node.overlap)")
            }
            let known = try encode(vae, shape, context, rest)
            let first = Tensor(grid.values, grid.shape)
            return (initial.firstFrame, Tensor.concatenated([first, known.sliced(1, 1..<shape.latents)], 1))
        }
        let tail = try lastFrames(of: grid, vae, node.overlap, context)
        let firstFrame = initial.firstFrame + 4 * (grid.frames - 1) + 1 - node.overlap
        let known = try encode(vae, shape, context) { $0 < node.overlap ? tail.sliced(1, $0..<($0 + 1)) : rest($0) }
        return (firstFrame, known)
    }

    /// The last decoded frames of a segment, `[3, count, H, W]` in −1 … 1.
    private func lastFrames(of grid: LatentGrid, _ vae: VideoAutoencoder, _ count: Int, _ context: NodeContext) throws -> Tensor {
        guard count <= 4 * (grid.frames - 1) + 1 else {
            throw NodeError("overlap: \(count) is more than the \(4 * (grid.frames - 1) + 1) frames of the segment before; wire its 'last' with the same handover")
        }
        var decoder = vae.decoder()
        var frames: [Tensor] = []
        for index in 0..<grid.frames {
            try context.checkCancelled()
            let latent = try grid.slice(index..<(index + 1))
            frames.append(decoder.decode(Tensor(latent.values, latent.shape)))
            // Four frames each but the first: the last two pieces hold five.
            if frames.map({ $0.shape[1] }).reduce(0, +) >= count + 4 { frames.removeFirst() }
        }
        let all = Tensor.concatenated(frames, 1)
        return all.sliced(1, (all.shape[1] - count)..<all.shape[1])
    }

    /// The four mask channels, `[4, T, h, w]`: 1 where the picture is known.
    private func maskChannels(isFirst: Bool, _ shape: Shape) throws -> Tensor {
        guard (node.mask == nil) == (node.background == nil) else {
            throw NodeError("to replace a person, wire both 'background' and 'mask'; to animate, neither")
        }
        if let mask = node.mask { try check(mask, "mask", shape, isCanvas: true) }
        let plane = shape.h * shape.w, overlap = node.overlap
        let stride = shape.width / shape.w
        let pixels = Tensor([shape.frames, shape.h, shape.w]) { out in
            for frame in 0..<shape.frames {
                let grey = node.mask.map { WanFraming.grey($0.frame(frame)) }
                for y in 0..<shape.h {
                    for x in 0..<shape.w {
                        let isGiven = !isFirst && frame < overlap
                        let value = isGiven ? 1 : grey.map { 1 - $0[y * stride * shape.width + x * stride] } ?? 0
                        out.initializeElement(at: frame * plane + y * shape.w + x, to: value)
                    }
                }
            }
        }
        return WanFraming.packed(pixels)
    }

    /// Face crops at the network's size, `[3, F, s, s]` in −1 … 1.
    private func faces(_ video: Video, _ context: NodeContext) throws -> Tensor {
        let side = c.motionSize
        let crops = try (0..<video.count).map { index in
            try context.checkCancelled()
            return WanFraming.stretched(video.frame(index), width: video.width, height: video.height, canvas: (side, side))
        }
        return PixelConversion.tensor(crops, width: side, height: side)
    }

    /// Encodes a clip given frame by frame `[3, 1, H, W]` to a standardised latent `[z, T, h, w]`.
    private func encode(_ vae: VideoAutoencoder, _ shape: Shape, _ context: NodeContext, _ frame: (Int) throws -> Tensor) throws -> Tensor {
        var encoder = vae.encoder()
        var latents: [Tensor] = []
        var next = 0
        while next < shape.frames {
            try context.checkCancelled()
            let end = next + encoder.chunkLength
            latents.append(encoder.encode(Tensor.concatenated(try (next..<end).map(frame), 1)))
            next = end
        }
        return Tensor.concatenated(latents, 1)
    }

    /// Noise of the segment: given, or of the seed and the segment's place in the film.
    private func noise(_ sampleShape: [Int], _ shape: Shape, firstFrame: Int) throws -> [Float] {
        guard let file = node.noise?.file else {
            return Randomness(seed: UInt64(node.seed), stream: UInt64(firstFrame)).normals(from: 0, count: sampleShape.reduce(1, *))
        }
        let step = shape.frames - node.overlap
        let segment = firstFrame / step
        let found = try file.info("noise").shape
        guard found.count == 6, found[1] == 1, Array(found[2...]) == sampleShape, segment < found[0] else {
            throw NodeError("'noise' is \(found), [segments, 1, \(sampleShape.map(String.init).joined(separator: ", "))] expected, with at least \(segment + 1) segments")
        }
        return try Tensor(file, "noise").selected(0, segment).array
    }

    // MARK: Checks

    private func shape(of pose: Video, _ vae: VideoAutoencoder) throws -> Shape {
        let stride = vae.spatialStride
        let unit = (rows: stride * c.patchSize[1], columns: stride * c.patchSize[2])
        guard pose.height % unit.rows == 0, pose.width % unit.columns == 0 else {
            throw NodeError("a film of \(pose.width)×\(pose.height): sides must be multiples of \(unit.columns) and \(unit.rows); video.fit brings clips to such a size")
        }
        guard pose.count % 4 == 1, pose.count > 1 else {
            throw NodeError("a segment of \(pose.count) frames, 1 + 4k expected: plan with whole: true and extend the clips by video.fit")
        }
        let latents = 1 + (pose.count - 1) / 4
        guard vae.latentChannels == c.outChannels, c.inChannels == 2 * c.outChannels + 4 else {
            throw NodeError("the autoencoder has \(vae.latentChannels) latent channels, the network takes \(c.inChannels) and gives \(c.outChannels); use the one that it was trained with")
        }
        guard node.overlap < pose.count else { throw NodeError("a segment of \(pose.count) frames cannot share \(node.overlap)") }
        return Shape(
            frames: pose.count, latents: latents, width: pose.width, height: pose.height, w: pose.width / stride,
            h: pose.height / stride, channels: c.outChannels)
    }

    private func check(_ video: Video, _ name: String, _ shape: Shape, isCanvas: Bool = false) throws {
        guard video.count == shape.frames else {
            throw NodeError("'\(name)' has \(video.count) frames, 'poseVideo' \(shape.frames); cut both by the same segment")
        }
        guard !isCanvas || (video.width == shape.width && video.height == shape.height) else {
            throw NodeError("'\(name)' is \(video.width)×\(video.height), 'poseVideo' \(shape.width)×\(shape.height); bring it there by video.fit")
        }
    }

    /// `[n, width]` of a tensor that may have a batch of one.
    private func tokens(_ bundle: TensorBundle, _ name: String, _ width: Int) throws -> Tensor {
        guard let info = bundle.file.tensors[name] else {
            throw NodeError("there is no tensor '\(name)'; there are \(bundle.file.tensors.keys.sorted().prefix(8).joined(separator: ", "))")
        }
        let shape = info.shape.count == 3 && info.shape[0] == 1 ? Array(info.shape.dropFirst()) : info.shape
        guard shape.count == 2, shape[0] > 0, shape[1] == width else {
            throw NodeError("'\(name)' is \(info.shape), [1, tokens, \(width)] expected: use the encoder that the network was trained with")
        }
        return try Tensor(bundle.file, name).reshaped(shape)
    }
}

extension Video {
    /// One frame, `[3, 1, H, W]` in −1 … 1.
    fileprivate func tensor(_ index: Int) -> Tensor { PixelConversion.tensor([frame(index)], width: width, height: height) }
}
