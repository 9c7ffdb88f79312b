import Foundation
public import Safetensors
public import Tensors

/// Evaluates a published network once on named tensors, so that a port can be checked against another implementation.
///
/// Names, shapes and batches are those of the reference implementations (diffusers, transformers).
public enum NetworkEvaluation {
    /// - Parameters:
    ///   - path: A model folder, or one safetensors file; or the folder of a scheduler or a preprocessor.
    ///   - adapters: LoRA files that are added to its weights.
    ///   - residentLimit: Bytes of weights that may stay in memory; nil: as the machine allows.
    ///   - inputs: A file of named inputs.
    ///   - precision: What the large linear layers of transformers are rounded to.
    ///   - steps: Numbers of steps for which a scheduler is run with a linear network.
    ///   - note: Is told what of the adapters was left out.
    /// - Returns: Outputs by name.
    /// - Throws: `WeightError` or `SafetensorsError` when the model or the inputs do not fit.
    public static func evaluate(
        model path: String, adapters: [LowRankAdapter] = [], residentLimit: Int? = nil, inputs: SafetensorsFile,
        precision: Precision = .f32, steps: [Int] = [4, 20], note: (String) -> Void = { _ in }
    ) throws -> [String: Tensor] {
        if let outputs = try SchedulerEvaluation.isScheduler(path)
            ? SchedulerEvaluation(path).evaluate(inputs, steps: steps) : PreprocessingEvaluation.evaluate(path, inputs)
        {
            guard adapters.isEmpty, precision == .f32 else { throw WeightError(path: path, "has no weights: neither a LoRA nor a precision applies") }
            return outputs
        }
        let weights = try WeightStore(path: path, precision: precision, adapters: adapters, residentLimit: residentLimit)
        let name = try weights.className()
        let reader = Inputs(file: inputs, model: name)
        func allow(_ precisions: Precision...) throws {
            guard precisions.contains(precision) else {
                throw WeightError(path: path, "precision \(precision.rawValue) is not for \(name), which takes \(precisions.map(\.rawValue).joined(separator: " or "))")
            }
        }
        switch name {
        case "WanTransformer3DModel", "WanAnimateTransformer3DModel": return try wan(weights, reader, note)
        case "WanAnimate2Transformer3DModel": return try wanAnimate2(weights, reader)
        case "CLIPVisionModel", "CLIPVisionModelWithProjection", "CLIPModel": return try clip(weights, reader)
        case "UMT5EncoderModel", "UMT5ForConditionalGeneration", "UMT5Model": return try umt5(weights, reader)
        case "AutoencoderKLWan":
            try allow(.f32, .bf16)
            return try autoencoder(weights, reader)
        case "Wav2Vec2Model", "Wav2Vec2ForCTC", "Wav2Vec2ForPreTraining":
            try allow(.f32)
            return try wav2vec2(weights, reader)
        default:
            throw WeightError(
                path: path,
                "cannot evaluate a '\(name)'; known are WanTransformer3DModel, WanAnimateTransformer3DModel, WanAnimate2Transformer3DModel, AutoencoderKLWan, CLIPVisionModel, UMT5EncoderModel, Wav2Vec2Model"
            )
        }
    }

    /// Named inputs, with errors that name them.
    private struct Inputs {
        let file: SafetensorsFile
        let model: String

        func has(_ name: String) -> Bool { file.tensors[name] != nil }

        /// Refuses inputs that the network does not take: a name with a mistake would be without effect otherwise.
        func allow(_ names: [String]) throws { try NetworkEvaluation.allow(names, in: file, model) }

        /// - Parameter shape: −1 for any size but 0.
        func tensor(_ name: String, _ shape: [Int]) throws -> Tensor {
            guard has(name) else {
                throw SafetensorsError(.mismatch, path: file.file.path, "a \(model) needs the input '\(name)' \(shape)")
            }
            if let found = file.tensors[name]?.shape, found.contains(0) { throw refuse("'\(name)' \(found) is empty") }
            return try Tensor(file, name, shape: shape)
        }

        /// Integers or floats, all of them finite.
        func numbers(_ name: String) throws -> [Double] {
            guard let info = file.tensors[name] else {
                throw SafetensorsError(.mismatch, path: file.file.path, "a \(model) needs the input '\(name)'")
            }
            guard info.count > 0 else { throw refuse("'\(name)' \(info.shape) is empty") }
            let numbers: [Double] = switch info.dtype {
            case .i64: try file.array(name, of: Int64.self).map { Double($0) }
            case .i32: try file.array(name, of: Int32.self).map { Double($0) }
            default: try Tensor(file, name).array.map { Double($0) }
            }
            guard numbers.allSatisfy(\.isFinite) else { throw refuse("'\(name)' holds NaN or infinity") }
            return numbers
        }

        func integers(_ name: String) throws -> [Int] {
            try numbers(name).map {
                guard let number = Int(exactly: $0) else { throw refuse("'\(name)' holds \($0), whole numbers expected") }
                return number
            }
        }

        func refuse(_ message: String) -> SafetensorsError { SafetensorsError(.mismatch, path: file.file.path, message) }
    }

    /// Refuses a file that holds anything but these.
    static func allow(_ names: [String], in file: SafetensorsFile, _ model: String) throws {
        guard let other = file.tensors.keys.filter({ !names.contains($0) }).min() else { return }
        throw SafetensorsError(.mismatch, path: file.file.path, "holds '\(other)'; a \(model) takes \(names.map { "'\($0)'" }.joined(separator: ", "))")
    }

    private static func wan(_ weights: WeightStore, _ inputs: Inputs, _ note: (String) -> Void) throws -> [String: Tensor] {
        let model = try WanTransformer(weights)
        model.notes.forEach(note)
        let c = model.configuration
        try inputs.allow(
            ["hidden_states", "timestep", "timestep_per_token", "encoder_hidden_states"] + (c.imageDim == nil ? [] : ["encoder_hidden_states_image"])
                + (c.isAnimate ? ["pose_hidden_states", "face_pixel_values"] : []))
        let x = try inputs.tensor("hidden_states", [-1, c.inChannels, -1, -1, -1])
        let batch = x.shape[0]
        guard zip(x.shape.dropFirst(2), c.patchSize).allSatisfy({ $0 > 0 && $0 % $1 == 0 }) else {
            throw inputs.refuse("'hidden_states' \(x.shape) does not split into patches \(c.patchSize)")
        }
        let text = try inputs.tensor("encoder_hidden_states", [batch, -1, c.textDim])
        let image = try c.imageDim.map { width in
            let name = "encoder_hidden_states_image"
            guard let positions = c.imagePositions else { return try inputs.tensor(name, [batch, -1, width]) }
            // Tokens of two pictures, which a network with learned positions takes, are two items of the batch.
            guard positions % 2 == 0 else { throw WeightError(path: weights.path, "config.json: pos_embed_seq_len is \(positions): no two pictures have so many tokens") }
            return try inputs.tensor(name, [2 * batch, positions / 2, width])
        }
        if image != nil, text.shape[1] != 512 { throw inputs.refuse("an image-conditioned Wan takes 512 text tokens, not \(text.shape[1])") }
        var pose: Tensor?
        var face: Tensor?
        if c.isAnimate {
            let T = x.shape[2]
            pose = try inputs.tensor("pose_hidden_states", [batch, c.latentChannels ?? 16, T - 1, x.shape[3], x.shape[4]])
            face = try inputs.tensor("face_pixel_values", [batch, 3, 1 + 4 * (T - 2), c.motionSize, c.motionSize])
        }
        let conditionings = try (0..<batch).map { item in
            try model.conditioning(
                text: text.selected(0, item), image: image.map { $0.reshaped(batch, -1, $0.shape[2]).selected(0, item) },
                pose: pose?.selected(0, item), face: face?.selected(0, item))
        }
        let tokens = zip(x.shape.dropFirst(2), c.patchSize).map { $0 / $1 }.reduce(1, *)
        func sample(_ name: String) throws -> Tensor {
            let times = try inputs.numbers(name)
            guard times.count == batch || times.count == batch * tokens else {
                throw inputs.refuse("'\(name)' has \(times.count) values for \(batch) samples of \(tokens) tokens")
            }
            let each = times.count / batch
            return try Tensor.stacked(
                (0..<batch).map { item in
                    try model(x.selected(0, item), timesteps: times[(item * each)..<((item + 1) * each)].map { Float($0) }, conditionings[item])
                })
        }
        var outputs = ["sample": try sample("timestep")]
        if inputs.has("timestep_per_token") { outputs["sample_per_token_timestep"] = try sample("timestep_per_token") }
        return outputs
    }

    /// A pass over the driving clip, then generation passes with what it left behind.
    private static func wanAnimate2(_ weights: WeightStore, _ inputs: Inputs) throws -> [String: Tensor] {
        let model = try WanAnimate2Transformer(weights)
        let c = model.configuration
        try inputs.allow(
            ["reference_latents", "reference_condition", "reference_text", "latents", "condition", "text", "timestep", "origin_len", "origin_area"]
                + (c.imageDim == nil ? [] : ["reference_image_embeds", "image_embeds"]))
        func pass(_ prefix: String, latents: String, condition: String) throws -> (x: Tensor, context: WanAnimate2Transformer.Conditioning) {
            let x = try inputs.tensor(latents, [-1, -1, -1, -1]), y = try inputs.tensor(condition, [-1] + x.shape.dropFirst())
            guard x.shape[0] + y.shape[0] == c.inChannels, zip(x.shape.dropFirst(), c.patchSize).allSatisfy({ $0 % $1 == 0 }) else {
                throw inputs.refuse("'\(latents)' \(x.shape) and '\(condition)' \(y.shape) do not make \(c.inChannels) channels in patches \(c.patchSize)")
            }
            let text = try inputs.tensor("\(prefix)text", [-1, c.textDim])
            guard text.shape[0] <= c.textLength else { throw inputs.refuse("'\(prefix)text' has \(text.shape[0]) tokens, at most \(c.textLength) fit") }
            let image = c.imageDim == nil ? nil : try inputs.tensor("\(prefix)image_embeds", [1, -1, c.imageDim ?? -1]).squeezed(0)
            return (Tensor.concatenated([x, y], 0), try model.conditioning(text: text, image: image))
        }
        let driving = try pass("reference_", latents: "reference_latents", condition: "reference_condition")
        let (sample, reference) = try model.reference(driving.x, driving.context)
        let heads = [c.heads, c.headDim]
        func stacked(_ values: [Tensor]) -> Tensor { Tensor.stacked(values.map { $0.reshaped([1, $0.shape[0]] + heads) }) }
        var extent: (frames: Int, plane: Int)?
        if inputs.has("origin_len") || inputs.has("origin_area") {
            let length = try inputs.integers("origin_len"), area = try inputs.integers("origin_area")
            guard length.count == 1, area.count == 2, (0...1_000_000).contains(length[0]), area.allSatisfy({ (1...100_000).contains($0) }) else {
                throw inputs.refuse("'origin_len' must be one number of frames, at most 1000000, 'origin_area' height and width, at most 100000")
            }
            extent = (length[0] / 4 + 1, area[0] * area[1] / 256)
            // Keys and values stand for all of it, as they are and as attention orders them.
            let bytes = Double(length[0] / 4 + 2) * Double(area[0] * area[1] / 256) * Double(4 * 4 * c.dim), memory = Double(MemoryLimit.bytes())
            guard bytes < memory else {
                throw inputs.refuse(
                    "'origin_len' \(length[0]) and 'origin_area' \(area) take \(String(format: "%.1f", bytes / 1e9)) GB, and this process may use \(String(format: "%.1f", memory / 1e9)) GB")
            }
        }
        var outputs = [
            "reference_sample": sample, "reference_keys": stacked(reference.layers.map(\.k)), "reference_values": stacked(reference.layers.map(\.v)),
        ]
        guard inputs.has("latents") else { return outputs }
        let generated = try pass("", latents: "latents", condition: "condition")
        guard let t = try inputs.numbers("timestep").first else { throw inputs.refuse("'timestep' is empty") }
        let frames = max(driving.x.shape[1], generated.x.shape[1] - c.patchSize[0]) / c.patchSize[0]
        let plane = [driving.x, generated.x].map { $0.shape[2] / c.patchSize[1] * ($0.shape[3] / c.patchSize[2]) }.max() ?? 0
        if let extent, extent.frames < frames || extent.plane < plane {
            throw inputs.refuse("'origin_len' and 'origin_area' are \(extent.frames) latent frames of \(extent.plane) tokens; the latents have \(frames) of \(plane)")
        }
        outputs["sample"] = try model(generated.x, timestep: Float(t), generated.context, reference, extent: extent)
        outputs["sample_unconditional"] = try model(
            generated.x, timestep: Float(t), generated.context, reference, isUnconditional: true, extent: extent)
        return outputs
    }

    private static func clip(_ weights: WeightStore, _ inputs: Inputs) throws -> [String: Tensor] {
        let model = try CLIPVision(weights)
        let c = model.configuration
        try inputs.allow(["pixel_values"])
        let pixels = try inputs.tensor("pixel_values", [-1, c.channels, c.imageSize, c.imageSize])
        let results = try (0..<pixels.shape[0]).map { try model(pixels.selected(0, $0)) }
        func stacked(_ value: (CLIPVision.Output) -> Tensor) -> Tensor { Tensor.stacked(results.map(value)) }
        var outputs = [
            "penultimate_hidden_state": stacked { $0.hiddenStates[c.layers - 1] }, "last_hidden_state": stacked { $0.hiddenStates[c.layers] },
            "pooler_output": stacked(\.pooled),
        ]
        let embeddings = results.compactMap(\.embedding)
        if !embeddings.isEmpty { outputs["image_embeds"] = Tensor.stacked(embeddings) }
        return outputs
    }

    private static func umt5(_ weights: WeightStore, _ inputs: Inputs) throws -> [String: Tensor] {
        let model = try UMT5Encoder(weights)
        try inputs.allow(["input_ids", "attention_mask"])
        let tokens = try inputs.integers("input_ids")
        let mask = try inputs.has("attention_mask") ? inputs.numbers("attention_mask").map { $0 != 0 } : [Bool](repeating: true, count: tokens.count)
        guard let shape = inputs.file.tensors["input_ids"]?.shape, shape.count == 2, mask.count == tokens.count,
            tokens.allSatisfy({ $0 >= 0 && $0 < model.configuration.vocabulary })
        else { throw inputs.refuse("'input_ids' must be [batch, tokens] with numbers below \(model.configuration.vocabulary), 'attention_mask' likewise") }
        let length = shape[1]
        let states = try (0..<shape[0]).map { item in
            let range = (item * length)..<((item + 1) * length)
            return try model(Array(tokens[range]), isKept: Array(mask[range]))
        }
        let kept = (0..<shape[0]).map { item in
            states[item] * Tensor((0..<length).map { mask[item * length + $0] ? 1 : 0 }, [length, 1])
        }
        return ["last_hidden_state": Tensor.stacked(states), "prompt_embeds": Tensor.stacked(kept)]
    }

    /// `video`, `image` → `…_mean`, `…_standardised` (and `video_logvar`); `latents_standardised` → `decoded`, `decoded_first`. Where tiles of
    /// 24 pixels (stride 16) fit, the tiled results too.
    private static func autoencoder(_ weights: WeightStore, _ inputs: Inputs) throws -> [String: Tensor] {
        let vae = try AutoencoderKLWan(weights)
        let c = vae.configuration
        try inputs.allow(["video", "image", "latents_standardised"])
        var outputs: [String: Tensor] = [:]
        // Tiles are cut in pixels, which a patchified layout has fewer of.
        let tiling = c.patchSize == 1 ? VAETiling(size: 24, stride: 16) : nil
        func each(_ x: Tensor, _ body: (Tensor) -> Tensor) -> Tensor { Tensor.stacked((0..<x.shape[0]).map { body(x.selected(0, $0)) }) }
        for name in ["video", "image"] where inputs.has(name) {
            let x = try inputs.tensor(name, [-1, 3, -1, -1, -1])
            guard vae.accepts(width: x.shape[4], height: x.shape[3]), x.shape[0] > 0, x.shape[2] > 0 else {
                throw inputs.refuse("'\(name)' \(x.shape): frames with sides that are multiples of \(c.spatialStride) are needed")
            }
            let posteriors = (0..<x.shape[0]).map { vae.encode(x.selected(0, $0)) }
            outputs["\(name)_mean"] = Tensor.stacked(posteriors.map(\.mean))
            outputs["\(name)_standardised"] = Tensor.stacked(posteriors.map { vae.standardized($0.mean) })
            guard name == "video" else { continue }
            outputs["video_logvar"] = Tensor.stacked(posteriors.map(\.logVariance))
            if let tiling { outputs["video_mean_tiled"] = each(x) { vae.encode($0, tiling: tiling).mean } }
        }
        if inputs.has("latents_standardised") {
            let latents = try inputs.tensor("latents_standardised", [-1, c.latentChannels, -1, -1, -1])
            guard latents.count > 0 else { throw inputs.refuse("'latents_standardised' \(latents.shape) is empty") }
            outputs["decoded"] = each(latents) { vae.decode(vae.destandardized($0)) }
            outputs["decoded_first"] = each(latents) { vae.decode(vae.destandardized($0).sliced(1, 0..<1)) }
            if let tiling { outputs["decoded_tiled"] = each(latents) { vae.decode(vae.destandardized($0), tiling: tiling) } }
        }
        guard !outputs.isEmpty else { throw inputs.refuse("an AutoencoderKLWan needs 'video', 'image' or 'latents_standardised'") }
        return outputs
    }

    private static func wav2vec2(_ weights: WeightStore, _ inputs: Inputs) throws -> [String: Tensor] {
        let model = try Wav2Vec2(weights)
        try inputs.allow(["waveform", "input_values", "attention_mask"])
        guard inputs.has("waveform") != inputs.has("input_values") else {
            throw inputs.refuse("either 'waveform' [samples], which is prepared as the network expects it, or 'input_values' [batch, samples], which are taken as they are")
        }
        let rows: [[Float]]
        if inputs.has("waveform") {
            rows = [model.prepared(try inputs.tensor("waveform", [-1]).array)]
        } else {
            let values = try inputs.tensor("input_values", [-1, -1])
            rows = (0..<values.shape[0]).map { values.selected(0, $0).array }
        }
        let needed = model.configuration.receptiveField, length = rows.first?.count ?? 0
        guard length >= needed else { throw inputs.refuse("\(length) samples; at least \(needed) are needed") }
        let mask = inputs.has("attention_mask") ? try inputs.integers("attention_mask") : nil
        guard mask.map({ $0.count == rows.count * length && $0.allSatisfy { (0...1).contains($0) } }) ?? true else {
            throw inputs.refuse("'attention_mask' must be zeros and ones, \(length) for each sound")
        }
        var outputs: [String: Tensor] = [:]
        func add(_ name: String, _ value: Tensor) {
            let value = value.unsqueezed(0)
            outputs[name] = outputs[name].map { Tensor.concatenated([$0, value], 0) } ?? value
        }
        for (index, samples) in rows.enumerated() {
            // The reference counts the ones, wherever they are, and takes what is behind so many for padding.
            let sound = mask.map { $0[(index * length)..<((index + 1) * length)].count { $0 == 1 } }
            guard sound.map({ $0 >= needed }) ?? true else { throw inputs.refuse("'attention_mask' leaves \(sound ?? 0) samples; at least \(needed) are needed") }
            let result = model(samples, count: sound)
            add("input_values", Tensor(samples))
            add("extract_features", result.features)
            add("last_hidden_state", result.last)
            for (layer, state) in result.hiddenStates.enumerated() { add("hidden_states.\(layer)", state) }
        }
        return outputs
    }
}
