import Models
import NodeKit
import Tensors

/// Speech → features on video frames.
public struct AudioFeaturesNode: Node {
    public static let type: NodeType = "audio.features"
    public static let version = 4
    public static let summary = "Computes features of speech at 50 Hz and lays them on video frames by time stamp."
    public static let cost = NodeCost(threads: .all, memory: 512 << 20)

    /// What the features are.
    public enum Kind: String, ParameterChoice {
        /// 80 log-mel bands every 20 ms, some of them around each video frame: what the audio encoder takes.
        case logMel = "log-mel"
        /// A hidden state of wav2vec 2.0.
        case wav2vec2
    }

    @Input("Speech, 16 kHz.") var audio: Audio
    @Input("The clip whose frames the features go with.") var video: Video
    @Input("A wav2vec 2.0 checkpoint: Wav2Vec2Model, Wav2Vec2ForCTC or Wav2Vec2ForPreTraining.") var model: ModelFolder?
    @Parameter("Log-mel bands, or a hidden state of wav2vec 2.0; not set: what 'model' gives, log-mel without one.") var kind: Kind? = nil
    @Parameter(
        "Log-mel: mel frames of 20 ms around each video frame; even: as many as the audio encoder was trained on.",
        in: 2...256)
    var window = 16
    @Parameter("wav2vec 2.0: which hidden state (0 is the first layer's input); not set: the last.", in: 0...1000)
    var layer: Int? = nil
    @Output("Features per video frame.") var features: AudioFeatures

    public init() {}

    public func run(in context: NodeContext) throws {
        guard audio.sampleRate == LogMel.sampleRate else {
            throw NodeError("sound of \(audio.sampleRate) Hz; decode it with rate: \(LogMel.sampleRate)")
        }
        guard !audio.samples.isEmpty else { throw NodeError("the sound is empty") }
        let timeline = video.timeline
        let times = (0..<timeline.count).map { timeline.seconds($0) - audio.start.value }
        if let last = times.last, last > audio.duration + 0.1 {
            context.log(
                "the sound ends \(((last - audio.duration) * 10).rounded() / 10) s before the last frame: silence from there on"
            )
        }
        let result: AudioFeatures
        switch kind ?? (model == nil ? .logMel : .wav2vec2) {
        case .logMel:
            if model != nil { throw NodeError("kind: log-mel takes no 'model': unwire one of them") }
            guard window % 2 == 0 else { throw NodeError("window: \(window) is odd; an even number is needed") }
            let mel = LogMel()(audio.samples)
            result = AudioFeatures(
                timeline: timeline, kind: "log-mel \(LogMel.bands)×\(window)", channels: LogMel.bands * window,
                features: LogMel.onFrames(mel, times: times, window: window))
        case .wav2vec2:
            guard let model else { throw NodeError("kind: wav2vec2 needs the input 'model': a wav2vec 2.0 checkpoint") }
            let weights = try WeightStore(path: model.path)
            let name = try weights.className()
            guard ["Wav2Vec2Model", "Wav2Vec2ForCTC", "Wav2Vec2ForPreTraining"].contains(name) else {
                throw NodeError(
                    "'\(model.path)' is a \(name); audio.features knows Wav2Vec2Model, Wav2Vec2ForCTC and Wav2Vec2ForPreTraining")
            }
            let network = try Wav2Vec2(weights)
            guard network.configuration.hop == 320, (layer ?? 0) <= network.configuration.layers else {
                throw NodeError(
                    "'\(model.path)' has \(network.configuration.layers) layers and a hop of \(network.configuration.hop) samples; layer 0…\(network.configuration.layers) and a hop of 320 are needed"
                )
            }
            let reader = SpeechReader(network: network, layer: layer)
            let hidden = try Parallel.$threads.withValue(context.threads) { try reader.read(audio.samples, context) }
            result = AudioFeatures(
                timeline: timeline, kind: "wav2vec2 layer \(layer ?? network.configuration.layers)",
                channels: network.configuration.hiddenSize, features: reader.onFrames(hidden, times: times))
        }
        try $features.set(result)
    }
}

/// Runs wav2vec 2.0 over sound of any length, and lays its frames on video frames.
struct SpeechReader {
    let network: Wav2Vec2
    /// Which hidden state; nil: the last.
    let layer: Int?
    /// Frames per piece, and on either side of it: attention spans a piece, so that memory does not grow with the sound.
    static let piece = 1_500, context = 100

    /// Feature frames `[frames, hidden]` of sound; frame k is centred at sample 320·k + 200.
    func read(_ samples: [Float], _ context: NodeContext) throws -> [Float] {
        let hop = network.configuration.hop
        let field = network.configuration.receptiveField
        var signal = network.prepared(samples)
        // A last partial frame, and sound shorter than one frame, are filled with silence.
        let frames = max(1, (signal.count + hop - 1) / hop)
        signal += [Float](repeating: 0, count: max(0, (frames - 1) * hop + field - signal.count))
        var result: [Float] = []
        for start in stride(from: 0, to: frames, by: Self.piece) {
            try context.checkCancelled()
            let end = min(start + Self.piece, frames)
            let first = max(0, start - Self.context)
            let last = min(frames, end + Self.context)
            let output = network(Array(signal[(first * hop)..<((last - 1) * hop + field)]))
            let state = layer.map { output.hiddenStates[$0] } ?? output.last
            result += state.sliced(0, (start - first)..<(end - first)).array
            context.progress(end, of: frames, "feature frames")
        }
        return result
    }

    /// Interpolates between the two feature frames around each time; the outermost are held.
    func onFrames(_ hidden: [Float], times: [Double]) -> [Float] {
        let width = network.configuration.hiddenSize
        let count = hidden.count / width
        let hop = Double(network.configuration.hop)
        let centre = Double(network.configuration.receptiveField) / 2
        return times.flatMap { time -> [Float] in
            let position = max(0, min(Double(count - 1), (time * Double(LogMel.sampleRate) - centre) / hop))
            let before = Int(position)
            let after = min(before + 1, count - 1)
            let mix = Float(position - Double(before))
            return (0..<width).map { hidden[before * width + $0] * (1 - mix) + hidden[after * width + $0] * mix }
        }
    }
}
