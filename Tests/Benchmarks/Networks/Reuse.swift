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
    let same = try all.conditioning(text: text), other = try all.conditioning(text: text * 0.5)
    let few = x.sliced(1, 0..<1).sliced(2, 0..<16).sliced(3, 0..<16)
    _ = try all(few, timesteps: [500], [same, other])  // keys and values of the text are kept from here on
    try compare([
        ("a step of 64 tokens whose text is known", { try all(few, timesteps: [400], same) }),
        ("the same step with the keys and values of its text", { try all(few, timesteps: [400], all.conditioning(text: text)) }),
    ])
    try compareBranches("", all, x, same, other)
    let mapped = try WanTransformer(WeightStore(path: path, residentLimit: 0))
    let (first, second) = (try mapped.conditioning(text: text), try mapped.conditioning(text: text * 0.5))
    try compareBranches(", 64 tokens, weights read from the file", mapped, few, first, second)

    let network = try DreamActorTransformer(WeightStore(path: actor))
    let c = network.configuration
    let (frames, side) = (7, 16)
    let latents = ramp([c.inChannels, frames, side, side]), pose = ramp([c.poseChannels, frames, side, side])
    let references = ramp([1, c.inChannels, side, side])
    let known = network.encode(references: references)
    let times = [Double](repeating: 0.5, count: frames)
    func pass(_ references: ReferenceCache) -> Tensor { network(latents, timesteps: times, pose: pose, face: nil, references: references) }
    try compare([
        ("DreamActor: a pass of \(frames) latent frames", { pass(known) }),
        ("DreamActor: the same pass with keys and values of the reference", { pass(network.encode(references: references)) }),
    ])
}

/// Two branches of guidance one by one and together.
private func compareBranches(_ what: String, _ network: WanTransformer, _ x: Tensor, _ a: WanConditioning, _ b: WanConditioning) throws {
    try compare([
        ("two branches of guidance one after the other" + what, { try network(x, timesteps: [400], a) + network(x, timesteps: [400], b) }),
        ("both at once" + what, { try Tensor.concatenated(network(x, timesteps: [400], [a, b]), 0) }),
    ])
}

/// Runs the ways of doing a thing by turns, so that a processor that slows down slows down all of them.
private func compare(_ ways: [(name: String, body: () throws -> Tensor)]) throws {
    for (way, times) in try zip(ways, measured(ways.map(\.body))) { report(way.name, times) }
}
