import Foundation

/// Log-mel features at 50 Hz, and how they are laid on video frames.
///
/// - Mel frame i is centred at sample 320·i of 16 kHz mono sound; zeros outside the signal; frames 0 … ⌊n/320⌋.
/// - Window: 400 samples, periodic Hann, zero-padded at the end to 512.
/// - 80 triangular filters of peak 1 between 0 and 8 000 Hz, corners evenly spaced on the HTK mel scale
///   2595·log₁₀(1 + f/700), evaluated at the bins' frequencies; applied to the power spectrum.
/// - Value: (ln(max(power, 10⁻⁵)) + 4) / 4.
public struct LogMel: Sendable {
    /// In hertz.
    public static let sampleRate = 16_000
    /// In samples: 20 ms.
    public static let hop = 320
    public static let bands = 80
    /// The value of silence, and of frames outside the signal.
    public static let silence = Float((log(1e-5) + 4) / 4)
    private static let windowLength = 400

    private let transform = FourierTransform(size: 512)
    private let window: [Double]
    /// Per band, its first bin and the weights from there on.
    private let filters: [(start: Int, weights: [Double])]

    public init() {
        let length = Self.windowLength
        let size = transform.size
        window = (0..<length).map { 0.5 - 0.5 * cos(2 * Double.pi * Double($0) / Double(length)) }
        let nyquist = Double(Self.sampleRate) / 2
        let top = 2595 * log10(1 + nyquist / 700)
        let corners = (0..<(Self.bands + 2)).map { index in
            700 * (pow(10, top * Double(index) / Double(Self.bands + 1) / 2595) - 1)
        }
        filters = (0..<Self.bands).map { band in
            let (lower, peak, upper) = (corners[band], corners[band + 1], corners[band + 2])
            let weights = (0...(size / 2)).map { bin in
                let f = Double(bin * Self.sampleRate) / Double(size)
                return max(0, min((f - lower) / (peak - lower), (upper - f) / (upper - peak)))
            }
            let start = weights.firstIndex { $0 > 0 } ?? 0
            let end = weights.lastIndex { $0 > 0 } ?? start
            return (start, Array(weights[start...end]))
        }
    }

    /// The number of mel frames of so many samples.
    public static func frameCount(samples: Int) -> Int { 1 + samples / hop }

    /// Mel frames of a signal.
    ///
    /// - Parameter samples: Mono, 16 kHz.
    /// - Returns: `[1 + n/320, 80]`, row-major.
    public func callAsFunction(_ samples: [Float]) -> [Float] {
        var result: [Float] = []
        result.reserveCapacity(Self.frameCount(samples: samples.count) * Self.bands)
        var frame = [Double](repeating: 0, count: transform.size)
        for index in 0..<Self.frameCount(samples: samples.count) {
            let start = index * Self.hop - Self.windowLength / 2
            for k in 0..<Self.windowLength {
                let position = start + k
                frame[k] = samples.indices.contains(position) ? Double(samples[position]) * window[k] : 0
            }
            let power = transform.power(frame)
            for (start, weights) in filters {
                var sum = 0.0
                for (k, weight) in weights.enumerated() { sum += weight * power[start + k] }
                result.append(Float((log(max(sum, 1e-5)) + 4) / 4))
            }
        }
        return result
    }

    /// Lays mel frames on video frames: for each, the `window` mel frames around its time, oldest first.
    ///
    /// - Parameters:
    ///   - mel: `[n, 80]` as ``callAsFunction(_:)`` gives.
    ///   - times: Seconds of the video frames, on the sound's clock (0: its first sample).
    /// - Returns: `[times, window·80]`.
    public static func onFrames(_ mel: [Float], times: [Double], window: Int) -> [Float] {
        let count = mel.count / bands
        var result: [Float] = []
        result.reserveCapacity(times.count * window * bands)
        for time in times {
            // Bounded first, so that no time stamp can overflow the conversion.
            let position = (time * Double(sampleRate) / Double(hop) + 0.5).rounded(.down)
            let centre = Int(max(-1e9, min(1e9, position)))
            for index in (centre - window / 2)..<(centre - window / 2 + window) {
                if index >= 0, index < count {
                    result += mel[(index * bands)..<((index + 1) * bands)]
                } else {
                    result += repeatElement(silence, count: bands)
                }
            }
        }
        return result
    }
}
