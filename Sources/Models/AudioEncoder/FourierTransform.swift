import Foundation

/// A radix-2 fast Fourier transform of one fixed size, in double precision.
struct FourierTransform: Sendable {
    let size: Int
    private let cosines: [Double]
    private let sines: [Double]
    private let order: [Int]

    /// - Parameter size: A power of two.
    init(size: Int) {
        precondition(size > 1 && size & (size - 1) == 0, "A radix-2 transform has a power of two as its size.")
        self.size = size
        cosines = (0..<(size / 2)).map { cos(-2 * Double.pi * Double($0) / Double(size)) }
        sines = (0..<(size / 2)).map { sin(-2 * Double.pi * Double($0) / Double(size)) }
        let bits = size.trailingZeroBitCount
        order = (0..<size).map { index in
            (0..<bits).reduce(0) { $0 | ((index >> $1) & 1) << (bits - 1 - $1) }
        }
    }

    /// The squared magnitudes of the first `size / 2 + 1` bins of a real signal.
    func power(_ signal: [Double]) -> [Double] {
        precondition(signal.count == size, "The signal is as long as the transform.")
        var real = order.map { signal[$0] }
        var imaginary = [Double](repeating: 0, count: size)
        var half = 1
        while half < size {
            let stride = size / (2 * half)
            for start in Swift.stride(from: 0, to: size, by: 2 * half) {
                for k in 0..<half {
                    let c = cosines[k * stride]
                    let s = sines[k * stride]
                    let a = start + k
                    let b = a + half
                    let re = real[b] * c - imaginary[b] * s
                    let im = real[b] * s + imaginary[b] * c
                    real[b] = real[a] - re
                    imaginary[b] = imaginary[a] - im
                    real[a] += re
                    imaginary[a] += im
                }
            }
            half *= 2
        }
        return (0...(size / 2)).map { real[$0] * real[$0] + imaginary[$0] * imaginary[$0] }
    }
}
