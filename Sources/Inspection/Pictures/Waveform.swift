import Drawing
import Foundation

/// Sound as a picture: the envelope over time, and a spectrogram.
struct Waveform {
    let samples: [Float]
    let sampleRate: Int
    /// Time of the first sample in seconds.
    let start: Double

    private let width = 1000

    func drawWave() throws -> Canvas {
        let canvas = try Canvas(width: width, height: 210, background: .white)
        canvas.text("waveform", at: Point(80, 18), size: 13, bold: true)
        let peak = samples.lazy.filter(\.isFinite).map(abs).max() ?? 0
        // Quiet sound is enlarged in steps that the axis tells, never cut.
        let reach = [0.01, 0.1, 1].first { Double(peak) <= $0 } ?? Double(peak)
        let place = Rect(x: 80, y: 28, width: Double(width - 190), height: 140)
        let axes = Axes(place, x: times, y: -reach...reach)
        axes.drawFrame(on: canvas, grid: true)
        axes.drawX(on: canvas, label: "seconds")
        let columns = Int(place.width)
        for column in 0..<(samples.isEmpty ? 0 : columns) {
            let from = column * samples.count / columns
            let part = samples[from..<max(from + 1, (column + 1) * samples.count / columns)].filter(\.isFinite)
            guard let low = part.min(), let high = part.max() else { continue }
            let x = place.x + Double(column) + 0.5
            let (top, bottom) = (axes.point(0, Double(high)).y, axes.point(0, Double(low)).y)
            canvas.line(from: Point(x, top), to: Point(x, bottom + 0.5), Color(0.12, 0.47, 0.71), width: 1)
        }
        return canvas
    }

    /// Power in decibels of Hann windows of 512 samples, frequency upwards to half the sample rate.
    func drawSpectrogram() throws -> Canvas? {
        let size = 512
        guard samples.count >= size else { return nil }
        let columns = min(width - 190, max(1, samples.count / 64))
        let window = (0..<size).map { Float(0.5 - 0.5 * cos(2 * .pi * Double($0) / Double(size))) }
        var values: [Float] = []
        values.reserveCapacity(columns * size / 2)
        for column in 0..<columns {
            let start = column * (samples.count - size) / max(columns - 1, 1)
            var re = (0..<size).map { samples[start + $0] * window[$0] }
            var im = [Float](repeating: 0, count: size)
            Self.transform(&re, &im)
            // Against a full-scale sine, whose bin has the power (size / 4)².
            for k in 0..<(size / 2) { values.append(10 * log10(max((re[k] * re[k] + im[k] * im[k]) / 16_384, 1e-10))) }
        }
        return try Heatmap(
            title: "spectrogram, decibels of full scale", xLabel: "seconds", yLabel: "kHz", values: values, rows: size / 2,
            columns: columns, x: times, y: 0...(Double(sampleRate) / 2000), filter: .smooth
        ).draw()
    }

    private var times: ClosedRange<Double> { start...(start + Double(samples.count) / Double(max(sampleRate, 1))) }

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
