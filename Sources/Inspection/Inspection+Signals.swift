import Drawing
import Foundation
import NodeKit

extension Inspection {
    static func audio(_ audio: Audio) throws -> Inspection {
        let peak = audio.samples.reduce(Float(0)) { max($0, abs($1)) }
        let rms = (audio.samples.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(max(audio.samples.count, 1))).squareRoot()
        let facts = [
            Fact("duration", "\(short(audio.duration)) s"), Fact("sample rate", "\(audio.sampleRate) Hz"),
            Fact("samples", "\(audio.samples.count)"), Fact("starts at", "\(short(audio.start.value)) s"),
            Fact("peak", "\(short(peak)) of 1"), Fact("loudness", "\(short(20 * log10(max(rms, 1e-9)))) dB RMS"),
        ]
        let plot = Waveform(samples: audio.samples, sampleRate: audio.sampleRate, start: audio.start.value)
        return Inspection(facts: facts, preview: try stack([plot.drawWave(), plot.drawSpectrogram()].compactMap { $0 }))
    }

    static func faceMotion(_ motion: FaceMotion) throws -> Inspection {
        let channels = motion.tokenCount * motion.channels
        let frames = 0..<motion.timeline.count
        let seconds = frames.map { motion.timeline.seconds($0) }
        // How much the tokens move from frame to frame: the curve that shows a talking or a still face.
        let change: [Float] = frames.map { frame in
            guard frame > 0 else { return .nan }
            let sum = (0..<channels).reduce(Float(0)) {
                let d = motion.tokens[frame * channels + $1] - motion.tokens[(frame - 1) * channels + $1]
                return $0 + d * d
            }
            return (sum / Float(channels)).squareRoot()
        }
        // A channel's mean says who speaks, what is left says how: only that changes over time.
        var means = [Float](repeating: 0, count: channels)
        for frame in frames {
            for c in 0..<channels { means[c] += motion.tokens[frame * channels + c] / Float(motion.timeline.count) }
        }
        let moves = motion.tokens.indices.map { motion.tokens[$0] - means[$0 % channels] }
        let curves = (0..<min(channels, 6)).map { c in ("channel \(c)", frames.map { motion.tokens[$0 * channels + c] }) }
        return Inspection(
            facts: timeFacts(motion.timeline) + [
                Fact("tokens", "\(motion.tokenCount) a frame, \(motion.channels) channels"),
                Fact("values", range(motion.tokens)), Fact("change per frame", range(change.dropFirst())),
            ],
            preview: try stack([
                try Heatmap(
                    title: "tokens: difference from each channel's mean", xLabel: "seconds", yLabel: "channel", values: moves,
                    rows: channels, columns: motion.timeline.count, x: motion.timeline.span, y: 0...Double(channels)
                ).draw(),
                try Plot(
                    title: "face motion", xLabel: "seconds", x: seconds,
                    panels: [
                        .init(label: "change from frame to frame, root mean square", curves: [("change", change)]),
                        .init(label: "first channels", curves: curves),
                    ]
                ).draw(),
            ]))
    }

    static func audioFeatures(_ features: AudioFeatures) throws -> Inspection {
        Inspection(
            facts: timeFacts(features.timeline) + [
                Fact("kind", features.kind), Fact("channels", "\(features.channels)"), Fact("values", range(features.features)),
            ],
            preview: try Heatmap(
                title: features.kind, xLabel: "seconds", yLabel: "channel", values: features.features, rows: features.channels,
                columns: features.timeline.count, x: features.timeline.span, y: 0...Double(features.channels)
            ).draw())
    }
}

extension Timeline {
    /// Start and end of a sequence in seconds.
    var span: ClosedRange<Double> { count == 0 ? 0...1 : seconds(0)...max(seconds(0), Double(end) * timeBase.value) }
}
