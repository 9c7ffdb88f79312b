import Foundation
import Safetensors
public import Tensors

/// wav2vec 2.0 (Baevski et al., NeurIPS 2020): speech at 16 kHz → one feature frame every 20 ms.
///
/// Reads published checkpoints of both families: group norm with norms after the blocks (base), layer norm with norms
/// before them (large, «stable»). Feature frame k is centred at sample `k·hop + receptiveField/2`: 400 samples give the first, and one
/// second gives 49, not 50; align by time stamp.
public struct Wav2Vec2: Sendable {
    public let configuration: Wav2Vec2Configuration
    let convolutions: [Convolution]
    let projectionNorm: LayerNorm
    let projection: Linear
    let positionWeight, positionBias: Tensor
    let norm: LayerNorm
    let layers: [Layer]
    let activation, featureActivation: Activation
    /// Whether the input is to have zero mean and unit variance (`do_normalize` of `preprocessor_config.json`).
    public let normalizesInput: Bool

    struct Convolution: Sendable {
        let weight: Tensor  // [out, in, k]
        let bias: Tensor?
        let normWeight, normBias: Tensor?
        let stride: Int
    }

    struct Layer: Sendable {
        let q, k, v, out, feedForwardIn, feedForwardOut: Linear
        let attentionNorm, finalNorm: LayerNorm
    }

    /// Builds the network from a checkpoint, with or without the prefix `wav2vec2.` and the heads of fine-tuned models.
    ///
    /// - Throws: `WeightError` when the configuration or any tensor does not fit.
    public init(_ weights: WeightStore) throws {
        let c: Wav2Vec2Configuration = try weights.configuration()
        try c.check(path: weights.path)
        configuration = c
        activation = try Activation(c.activation, key: "hidden_act", path: weights.path)
        featureActivation = try Activation(c.featureActivation, key: "feat_extract_activation", path: weights.path)
        normalizesInput = try Self.normalizesInput(folder: weights.path)
        let isPrefixed = weights.names.contains { $0.hasPrefix("wav2vec2.") }
        let root = isPrefixed ? weights.scope("wav2vec2") : weights.root
        convolutions = c.convDim.indices.map { index in
            let scope = root.scope("feature_extractor.conv_layers", index)
            let width = c.convDim[index]
            let isNormed = c.featureNorm == .layer || index == 0
            return Convolution(
                weight: scope.tensor(
                    "conv.weight", shape: [width, index == 0 ? 1 : c.convDim[index - 1], c.convKernel[index]]),
                bias: c.convBias ? scope.tensor("conv.bias", shape: [width]) : nil,
                normWeight: isNormed ? scope.tensor("layer_norm.weight", shape: [width]) : nil,
                normBias: isNormed ? scope.tensor("layer_norm.bias", shape: [width]) : nil,
                stride: c.convStride[index])
        }
        let channels = c.convDim[c.convDim.count - 1]
        projectionNorm = LayerNorm(root.scope("feature_projection.layer_norm"), channels, eps: c.eps)
        projection = Linear(root.scope("feature_projection.projection"), channels, c.hiddenSize)
        let position = root.scope("encoder.pos_conv_embed.conv")
        positionWeight = Self.positionWeight(position, c)
        positionBias = position.tensor("bias", shape: [c.hiddenSize])
        norm = LayerNorm(root.scope("encoder.layer_norm"), c.hiddenSize, eps: c.eps)
        layers = (0..<c.layers).map { index in
            let scope = root.scope("encoder.layers", index)
            let d = c.hiddenSize
            return Layer(
                q: Linear(scope.scope("attention.q_proj"), d, d), k: Linear(scope.scope("attention.k_proj"), d, d),
                v: Linear(scope.scope("attention.v_proj"), d, d), out: Linear(scope.scope("attention.out_proj"), d, d),
                feedForwardIn: Linear(scope.scope("feed_forward.intermediate_dense"), d, c.intermediateSize),
                feedForwardOut: Linear(scope.scope("feed_forward.output_dense"), c.intermediateSize, d),
                attentionNorm: LayerNorm(scope.scope("layer_norm"), d, eps: c.eps),
                finalNorm: LayerNorm(scope.scope("final_layer_norm"), d, eps: c.eps))
        }
        // Parts that only training or fine-tuned heads use.
        weights.ignore { name in
            name.hasSuffix("masked_spec_embed")
                || ["lm_head.", "classifier.", "projector.", "quantizer.", "project_q.", "project_hid."].contains {
                    name.hasPrefix($0)
                }
        }
        try weights.finish()
    }

    /// The positional kernel, weight-normalised per tap: g·v/‖v‖ with the norm over all but the last dimension.
    private static func positionWeight(_ scope: WeightScope, _ c: Wav2Vec2Configuration) -> Tensor {
        let isNew = scope.contains("parametrizations.weight.original0")
        let g = scope.tensor(isNew ? "parametrizations.weight.original0" : "weight_g", shape: [1, 1, c.positionKernel])
        let v = scope.tensor(
            isNew ? "parametrizations.weight.original1" : "weight_v",
            shape: [c.hiddenSize, c.hiddenSize / c.positionGroups, c.positionKernel])
        var squares = [Double](repeating: 0, count: c.positionKernel)
        for (index, value) in v.array.enumerated() {
            squares[index % c.positionKernel] += Double(value) * Double(value)
        }
        let factors = zip(g.array, squares).map { g, square in square > 0 ? Float(Double(g) / square.squareRoot()) : 0 }
        return v * Tensor(factors, [1, 1, c.positionKernel])
    }

    /// What the network says about a piece of sound.
    public struct Output: Sendable {
        /// Convolutional features after the norm of the projection, `[frames, conv]`.
        public let features: Tensor
        /// The input of the first layer, then the output of each, `[frames, hidden]`.
        public let hiddenStates: [Tensor]
        /// The last hidden state, normed where norms stand before the blocks.
        public let last: Tensor
    }

    /// What `preprocessor_config.json` says of the input; a folder without one, or a single file, has the reference's defaults.
    ///
    /// - Throws: `WeightError` when it asks for another sampling rate, or cannot be read.
    private static func normalizesInput(folder: String) throws -> Bool {
        struct Settings: Decodable {
            var do_normalize: Bool?
            var sampling_rate: Int?
        }
        let path = "\(folder)/preprocessor_config.json"
        guard let data = FileManager.default.contents(atPath: path) else { return true }
        let settings: Settings
        do {
            settings = try JSONDecoder().decode(Settings.self, text: data)
        } catch {
            throw WeightError(path: path, "is not a feature extractor's: \(JSONDecoder.words(error))")
        }
        if let rate = settings.sampling_rate, rate != 16_000 { throw WeightError(path: path, "sampling_rate is \(rate), 16000 expected") }
        return settings.do_normalize ?? true
    }

    /// Sound as this network takes it: normalised, or as it is.
    public func prepared(_ samples: [Float]) -> [Float] { normalizesInput ? Self.normalized(samples) : samples }

    /// Zero mean and unit variance, as most networks expect their input.
    public static func normalized(_ samples: [Float]) -> [Float] {
        guard !samples.isEmpty else { return samples }
        let mean = samples.reduce(0.0) { $0 + Double($1) } / Double(samples.count)
        let variance = samples.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(samples.count)
        let factor = 1 / (variance + 1e-7).squareRoot()
        return samples.map { Float((Double($0) - mean) * factor) }
    }

    /// The number of feature frames of so many samples.
    public func frameCount(samples: Int) -> Int {
        zip(configuration.convKernel, configuration.convStride).reduce(samples) {
            max(0, ($0 - $1.0) / $1.1 + ($0 < $1.0 ? 0 : 1))
        }
    }

    /// Runs the network.
    ///
    /// - Parameters:
    ///   - samples: As ``prepared(_:)`` makes them, 16 kHz, at least ``Wav2Vec2Configuration/receptiveField`` of them.
    ///   - count: Samples that are sound, at least as many; padding follows, and is not attended to. Nil: all, and nothing is masked.
    public func callAsFunction(_ samples: [Float], count: Int? = nil) -> Output {
        precondition(count.map { (configuration.receptiveField...samples.count).contains($0) } ?? true, "\(count ?? 0) of \(samples.count) samples are sound")
        precondition(samples.count >= configuration.receptiveField, "too few samples: \(samples.count)")
        var x = Tensor(samples, [1, samples.count])
        for convolution in convolutions {
            x = featureActivation(normed(x.conv1d(convolution.weight, convolution.bias, stride: convolution.stride), convolution))
        }
        let features = projectionNorm(x.transposed)  // [frames, conv]
        var h = projection(features)  // [frames, hidden]
        let frames = h.shape[0], seen = count.map(frameCount) ?? frames
        // Padded frames are zeros to the positional convolution.
        if seen < frames { h = h.sliced(0, 0..<seen).padded(0, after: frames - seen) }
        let mask = count.map { _ in Tensor((0..<frames * frames).map { $0 % frames < seen ? 0 : -.infinity }, [frames, frames]) }
        h = h + position(h)
        if !configuration.isStable { h = norm(h) }
        var states = [h]
        for layer in layers {
            h = configuration.isStable ? stable(h, layer, mask) : plain(h, layer, mask)
            states.append(h)
        }
        return Output(features: features, hiddenStates: states, last: configuration.isStable ? norm(h) : h)
    }

    private func normed(_ x: Tensor, _ convolution: Convolution) -> Tensor {  // [channels, L]
        guard let weight = convolution.normWeight, let bias = convolution.normBias else { return x }
        switch configuration.featureNorm {
        case .layer: return x.transposed.layerNorm(weight, bias, eps: 1e-5).transposed
        case .group: return x.layerNorm(eps: 1e-5) * weight.reshaped(-1, 1) + bias.reshaped(-1, 1)
        }
    }

    private func position(_ h: Tensor) -> Tensor {
        let pad = configuration.positionKernel / 2
        let frames = h.shape[0]
        let y = h.transposed.conv1d(
            positionWeight, positionBias, padding: Padding(pad, pad), groups: configuration.positionGroups)
        // An even kernel gives one frame too many, at the end.
        return featureActivation(y.sliced(1, 0..<frames)).transposed
    }

    private func attend(_ x: Tensor, _ layer: Layer, _ mask: Tensor?) -> Tensor {
        layer.out(attention(layer.q(x), layer.k(x), layer.v(x), heads: configuration.heads, bias: mask))
    }

    private func feedForward(_ x: Tensor, _ layer: Layer) -> Tensor {
        layer.feedForwardOut(activation(layer.feedForwardIn(x)))
    }

    private func plain(_ x: Tensor, _ layer: Layer, _ mask: Tensor?) -> Tensor {
        let y = layer.attentionNorm(x + attend(x, layer, mask))
        return layer.finalNorm(y + feedForward(y, layer))
    }

    private func stable(_ x: Tensor, _ layer: Layer, _ mask: Tensor?) -> Tensor {
        let y = x + attend(layer.attentionNorm(x), layer, mask)
        return y + feedForward(layer.finalNorm(y), layer)
    }
}
