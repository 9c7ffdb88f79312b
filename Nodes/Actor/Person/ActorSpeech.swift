import CSpeech
import Foundation
import Locking
import NodeKit

/// Spoken text: sound, and the mouth shapes that go with it.
struct ActorSpeech: Sendable {
    static let sampleRate = 16_000
    /// At ``sampleRate``, −1…1.
    let samples: [Float]
    /// Mouth shape from a time (seconds) on.
    let events: [(time: Double, viseme: Viseme)]

    var duration: Double { Double(samples.count) / Double(Self.sampleRate) }

    private static let turn = Locked(())

    /// Speaks `text` with a voice drawn from `seed`.
    ///
    /// - Throws: ``NodeError`` when the synthesizer is not installed.
    init(text: String, seed: UInt64) throws {
        var g = ActorRandom(seed: seed, stream: "voice")
        let voice = g.pick(["en-us", "en", "en-us+f2", "en-us+f3", "en+m3", "en-us+m7", "en+f4"])
        let (rate, pitch, range) = (g.integer(135...185), g.integer(25...75), g.integer(30...70))
        var result = speech_result()
        let status = Self.turn.withLock { _ in
            speech_speak(text, voice, Int32(rate), Int32(pitch), Int32(range), &result)
        }
        defer { speech_free(&result) }
        switch status {
        case Int32(SPEECH_OK): break
        case Int32(SPEECH_NO_LIBRARY), Int32(SPEECH_NO_DATA):
            throw NodeError("speech needs eSpeak NG, which is not installed; install libespeak-ng1 and espeak-ng-data, or leave 'speech' empty")
        case Int32(SPEECH_NO_VOICE): throw NodeError("eSpeak NG has no voice '\(voice)'; install espeak-ng-data")
        default: throw NodeError("eSpeak NG could not speak '\(text)'")
        }
        let raw = UnsafeBufferPointer(start: result.samples, count: result.sample_count).map { Float($0) / 32768 }
        samples = Self.resample(raw, from: Int(result.sample_rate), to: Self.sampleRate)
        var events: [(time: Double, viseme: Viseme)] = []
        for phoneme in UnsafeBufferPointer(start: result.phonemes, count: result.phoneme_count) {
            let name = withUnsafeBytes(of: phoneme.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            let time = Double(phoneme.milliseconds) / 1000
            let shapes = Self.visemes(of: name)
            events.append((time, shapes[0]))
            // A diphthong glides to its second vowel.
            if shapes.count > 1 { events.append((time + 0.09, shapes[1])) }
        }
        self.events = events.sorted { $0.time < $1.time }
    }

    /// Mouth shapes of an eSpeak phoneme mnemonic.
    static func visemes(of phoneme: String) -> [Viseme] {
        let bare = phoneme.filter { !"'ˈˌ,%=_:;#0123456789".contains($0) || $0 == "0" || $0 == "3" }
        let known: [(String, [Viseme])] = [
            ("tS", [.CH]), ("dZ", [.CH]), ("aI", [.aa, .I]), ("aU", [.aa, .U]), ("eI", [.E, .I]), ("oU", [.O, .U]),
            ("OI", [.O, .I]), ("e@", [.E]), ("i@", [.I]), ("U@", [.U]), ("A@", [.aa]), ("O@", [.O]),
            ("p", [.PP]), ("b", [.PP]), ("m", [.PP]), ("f", [.FF]), ("v", [.FF]), ("T", [.TH]), ("D", [.TH]),
            ("t", [.DD]), ("d", [.DD]), ("n", [.nn]), ("l", [.nn]), ("k", [.kk]), ("g", [.kk]), ("N", [.kk]),
            ("h", [.kk]), ("x", [.kk]), ("S", [.CH]), ("Z", [.CH]), ("s", [.SS]), ("z", [.SS]), ("r", [.RR]), ("R", [.RR]),
            ("w", [.U]), ("j", [.I]), ("a", [.aa]), ("A", [.aa]), ("V", [.aa]), ("e", [.E]), ("E", [.E]), ("@", [.E]),
            ("3", [.RR]), ("i", [.I]), ("I", [.I]), ("o", [.O]), ("O", [.O]), ("0", [.O]), ("u", [.U]), ("U", [.U]),
        ]
        return known.first { bare.hasPrefix($0.0) }?.1 ?? [.sil]
    }

    /// Weights of the mouth shapes at `time`, blended over a twentieth of a second to either side.
    func weights(at time: Double) -> [Double] {
        var weights = [Double](repeating: 0, count: Viseme.allCases.count)
        let reach = 0.05
        var total = 0.0
        for i in -6...6 {
            // The mouth leads the sound by a little.
            let t = time + 0.02 + Double(i) / 6 * reach
            let weight = 1 - abs(Double(i)) / 7
            let index = events.lastIndex { $0.time <= t }
            weights[(index.map { events[$0].viseme } ?? .sil).rawValue] += weight
            total += weight
        }
        return weights.map { $0 / total }
    }

    /// Windowed-sinc conversion of the sample rate.
    static func resample(_ input: [Float], from: Int, to: Int) -> [Float] {
        guard from != to, from > 0, !input.isEmpty else { return input }
        let ratio = Double(from) / Double(to)
        let cutoff = min(1, 1 / ratio)
        let half = 16.0 / cutoff
        return (0..<Int(Double(input.count) / ratio)).map { n in
            let center = Double(n) * ratio
            var sum = 0.0
            for i in Int((center - half).rounded(.up))...Int((center + half).rounded(.down)) where input.indices.contains(i) {
                let x = Double(i) - center
                let sinc = abs(x) < 1e-9 ? 1 : sin(Double.pi * x * cutoff) / (Double.pi * x * cutoff)
                sum += Double(input[i]) * sinc * cutoff * (0.5 + 0.5 * cos(Double.pi * x / half))
            }
            return Float(sum)
        }
    }

    /// Sentences of about `seconds` of speech.
    static func sentences(seed: UInt64, seconds: Double) -> String {
        var g = ActorRandom(seed: seed, stream: "sentences")
        let who = ["My brother", "The old captain", "A young painter", "Our teacher", "The quiet neighbour", "Everybody", "She", "The baker"]
        let does = ["bought", "found", "described", "remembered", "was looking for", "gave away", "painted", "forgot about", "wants to show you"]
        let what = ["a blue umbrella", "the very first page", "five yellow birds", "that famous theatre", "some fresh apples", "a wooden violin", "the whole village", "two boxes of chalk", "a photograph of the moon"]
        let when = ["this morning", "before the storm", "in the middle of July", "every other weekend", "without a word", "on the way home", "behind the house", "as usual"]
        let short = ["Hello there.", "Well, I am not so sure.", "Oh, how wonderful!", "Wait a moment.", "Could you say that again?", "That is what I thought.", "Thank you very much."]
        var words = 0
        var text: [String] = []
        while Double(words) / 2.4 < seconds {
            let sentence = g.chance(0.3) ? g.pick(short) : "\(g.pick(who)) \(g.pick(does)) \(g.pick(what)) \(g.pick(when))."
            text.append(sentence)
            words += sentence.split(separator: " ").count
        }
        return text.joined(separator: " ")
    }

    /// The stretch of `seconds` from `start`, with silence where there is no sound.
    func samples(from start: Double, seconds: Double) -> [Float] {
        let first = Int((start * Double(Self.sampleRate)).rounded())
        return (0..<Int((seconds * Double(Self.sampleRate)).rounded())).map {
            samples.indices.contains(first + $0) ? samples[first + $0] : 0
        }
    }
}
