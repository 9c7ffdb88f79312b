import Models
import Tensors

/// Seconds of what need not be computed at every step or in every segment, beside the passes it belongs to.
///
/// - Parameters:
///   - path: A `WanTransformer3DModel`.
///   - actor: A `DreamActorTransformer`.
///   - x: Latents `[C, T, h, w]` for the former, and its text `[n, textDim]`.
func measureReuse(wan path: String, actor: String, _ x: Tensor, text: Tensor) throws {
    let all = try WanTransformer(WeightStore(path: path))
    let same = all.conditioning(text: text), other = all.conditioning(text: text * 0.5)
    _ = all(x, timesteps: [500], [same, other])  // keys and values of the text are kept from here on
    let step = measured { all(x, timesteps: [400], same) }
    report("a step whose text is known", step)
    report("the same step with the keys and values of its text", measured { all(x, timesteps: [400], all.conditioning(text: text)) })
    report("two branches of guidance one after the other", measured { all(x, timesteps: [400], same) + all(x, timesteps: [400], other) })
    report("both at once", measured { Tensor.concatenated(all(x, timesteps: [400], [same, other]), 0) })
    let mapped = try WanTransformer(WeightStore(path: path, residentLimit: 0))
    let (first, second) = (mapped.conditioning(text: text), mapped.conditioning(text: text * 0.5))
    let few = x.sliced(1, 0..<1).sliced(2, 0..<16).sliced(3, 0..<16)
    report(
        "two branches one after the other, 64 tokens, weights read from the file",
        measured { mapped(few, timesteps: [400], first) + mapped(few, timesteps: [400], second) })
    report("both at once, 64 tokens, weights read from the file", measured { Tensor.concatenated(mapped(few, timesteps: [400], [first, second]), 0) })

    let network = try DreamActorTransformer(WeightStore(path: actor))
    let c = network.configuration
    let (frames, side) = (7, 16)
    let latents = ramp([c.inChannels, frames, side, side]), pose = ramp([c.poseChannels, frames, side, side])
    let references = ramp([1, c.inChannels, side, side])
    let known = network.encode(references: references)
    let times = [Double](repeating: 0.5, count: frames)
    report("DreamActor: a pass of \(frames) latent frames", measured { network(latents, timesteps: times, pose: pose, face: nil, references: known) })
    report(
        "DreamActor: the same pass with keys and values of the reference",
        measured { network(latents, timesteps: times, pose: pose, face: nil, references: network.encode(references: references)) })
}
