import Drawing
import Foundation

/// Sound as a picture: the envelope over time, and a spectrogram.
struct Waveform {
    let samples: [Float]
    let sampleRate: Int

    private let width = 1000

    func drawWave() throws -> Canvas {
        let height = 180
        let canvas = try Canvas(width: width, height: height, background: .white)
        let middle = Double(height) / 2 + 8
        let scale = Double(height) / 2 - 16
        canvas.text("waveform, \(short(Double(samples.count) / Double(sampleRate))) s", at: Point(10, 16), size: 13, bold: true)
        guard !samples.isEmpty else { return canvas }
        for x in 10..<(width - 10) {
            let from = (x - 10) * samples.count / (width - 20)
            let to = max(from + 1, (x - 9) * samples.count / (width - 20))
            let part = samples[from..<min(to, samples.count)]
            let (low, high) = (Double(part.min() ?? 0), Double(part.max() ?? 0))
            canvas.line(
                from: Point(Double(x) + 0.5, middle - high * scale), to: Point(Double(x) + 0.5, middle - low * scale + 0.5),
                Color(0.12, 0.47, 0.71), width: 1)
        }
        return canvas
    }

    /// Power in decibels of Hann windows of 512 samples, frequency upwards to half the sample rate.
    func drawSpectrogram() throws -> Canvas {
        let size = 512
        let canvas = try Canvas(width: width, height: size / 2 + 34, background: .white)
        canvas.text("spectrogram, 0 to \(sampleRate / 2) Hz", at: Point(10, 16), size: 13, bold: true)
        guard samples.count >= size else { return canvas }
        let columns = min(width - 20, samples.count / 64)
        let window = (0..<size).map { Float(0.5 - 0.5 * cos(2 * .pi * Double($0) / Double(size))) }
        var values: [Float] = []
        values.reserveCapacity(columns * size / 2)
        for column in 0..<columns {
            let start = column * (samples.count - size) / max(columns - 1, 1)
            var re = (0..<size).map { samples[start + $0] * window[$0] }
            var im = [Float](repeating: 0, count: size)
            Self.transform(&re, &im)
            for k in 0..<(size / 2) { values.append(10 * log10(max(re[k] * re[k] + im[k] * im[k], 1e-8))) }
        }
        let picture = try Canvas(width: columns, height: size / 2, rgb: Heatmap.colors(values, rows: size / 2, columns: columns))
        canvas.draw(picture, in: Rect(x: 10, y: 28, width: Double(width - 20), height: Double(size / 2)))
        return canvas
    }

    /// The discrete Fourier transform in place, radix 2.
    private static func transform(_ re: inout [Float], _ im: inout [Float]) {
        let n = re.count
        var j = 0
        for i in 1..<n {
            var bit = n >> 1
            while j & bit != 0 {
                j ^= bit
                bit >>= 1
            }
            j |= bit
            if i < j {
                re.swapAt(i, j)
                im.swapAt(i, j)
            }
        }
        var length = 2
        while length <= n {
            for start in stride(from: 0, to: n, by: length) {
                for k in 0..<(length / 2) {
                    let angle = -2 * Float.pi * Float(k) / Float(length)
                    let (c, s) = (cos(angle), sin(angle))
                    let (a, b) = (start + k, start + k + length / 2)
                    let (x, y) = (re[b] * c - im[b] * s, re[b] * s + im[b] * c)
                    (re[b], im[b]) = (re[a] - x, im[a] - y)
                    (re[a], im[a]) = (re[a] + x, im[a] + y)
                }
            }
            length *= 2
        }
    }
}
