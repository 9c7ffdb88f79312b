import Models
import NodeKit

/// Speech → features on video frames.
public struct AudioFeaturesNode: Node {
    public static let type: NodeType = "audio.features"
    public static let version = 1
    public static let summary = "Computes log-mel features of speech at 50 Hz and lays them on video frames by time stamp."

    @Input("Speech, 16 kHz.") var audio: Audio
    @Input("The clip whose frames the features go with.") var video: Video
    @Parameter("Mel frames of 20 ms around each video frame; even: as many as the audio encoder was trained on.", in: 2...256)
    var window = 16
    @Output("Features per video frame.") var features: AudioFeatures

    public init() {}

    public func run(in context: NodeContext) throws {
        guard audio.sampleRate == LogMel.sampleRate else {
            throw NodeError("sound of \(audio.sampleRate) Hz; decode it with rate: \(LogMel.sampleRate)")
        }
        guard window % 2 == 0 else { throw NodeError("window: \(window) is odd; an even number is needed") }
        let timeline = video.timeline
        let times = (0..<timeline.count).map { timeline.seconds($0) - audio.start.value }
        let mel = LogMel()(audio.samples)
        let laid = LogMel.onFrames(mel, times: times, window: window)
        if let last = times.last, last > audio.duration + 0.1 {
            context.log("the sound ends \(((last - audio.duration) * 10).rounded() / 10) s before the last frame: silence from there on")
        }
        try $features.set(
            AudioFeatures(
                timeline: timeline, kind: "log-mel \(LogMel.bands)×\(window)", channels: LogMel.bands * window,
                features: laid))
    }
}
