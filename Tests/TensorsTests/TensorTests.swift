import Foundation
import Testing

@testable import Tensors

/// Numbers in −1 ..< 1 that look random and are the same everywhere.
func noise(_ shape: [Int], seed: UInt64 = 1) -> Tensor {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    let values = (0..<shape.reduce(1, *)).map { _ -> Float in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }
    return Tensor(values, shape)
}

/// ‖a − b‖ / ‖b‖, infinite when the shapes differ or something is NaN.
func relativeError(_ a: Tensor, _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    var difference = 0.0, norm = 0.0
    for (x, y) in zip(a.array, b) {
        difference += (Double(x) - y) * (Double(x) - y)
        norm += y * y
    }
    let ratio = (difference / max(norm, 1e-300)).squareRoot()
    return ratio.isNaN ? .infinity : ratio
}

/// Runs with one, two and five threads, checks that the bytes are equal, and returns the result.
func sameOnAllThreads(_ body: () -> Tensor) -> Tensor {
    let one = Parallel.$threads.withValue(1, operation: body)
    for threads in [2, 5] {
        let more = Parallel.$threads.withValue(threads, operation: body)
        #expect(one.array.map(\.bitPattern) == more.array.map(\.bitPattern), "threads change the bytes")
    }
    return one
}

struct TensorTests {
    @Test func copiesAreIndependent() {
        let a = Tensor([1, 2, 3])
        var b = a
        b.withUnsafeMutableBuffer { $0[0] = 9 }
        #expect(a.array == [1, 2, 3] && b.array == [9, 2, 3])
    }

    @Test func shapesChange() {
        let x = Tensor((0..<24).map(Float.init), [2, 3, 4])
        #expect(x.permuted(2, 0, 1)[3, 1, 2] == x[1, 2, 3])
        #expect(x.permuted(1, 0, 2).array == x.permuted(1, 0, 2).reshaped(3, 2, 4).array)
        #expect(x.transposed.shape == [2, 4, 3] && x.transposed[1, 3, 2] == x[1, 2, 3])
        #expect(x.sliced(1, 1..<3)[1, 0, 2] == x[1, 1, 2])
        #expect(Tensor.concatenated(x.chunked(2, 2), 2).array == x.array)
        #expect(x.padded(1, before: 2, .replicated)[1, 0, 3] == x[1, 0, 3])
        #expect(x.padded(2, after: 1)[1, 2, 4] == 0)
        #expect(Tensor([1, 2]).repeatedInterleaved(2, 0).array == [1, 1, 2, 2])
        #expect(x.reshaped(-1, 6).shape == [4, 6])
        let large = noise([3, 70, 5, 33])
        let moved = sameOnAllThreads { large.permuted(3, 1, 0, 2) }
        #expect(moved[31, 64, 2, 4] == large[2, 64, 4, 31])
        #expect(moved.permuted(2, 1, 3, 0).array == large.array)
    }

    @Test func elementwiseBroadcasts() {
        let a = noise([3, 5, 7]), b = noise([5, 1], seed: 2), c = noise([3, 1, 1], seed: 3)
        let y = a * b + c - 0.5
        for i in 0..<3 {
            for j in 0..<5 {
                for k in 0..<7 { #expect(abs(y[i, j, k] - (a[i, j, k] * b[j, 0] + c[i, 0, 0] - 0.5)) < 1e-6) }
            }
        }
        #expect((Tensor([2]) / Tensor([4, 8])).array == [0.5, 0.25])
        #expect(a.mean(1).shape == [3, 7])
        #expect(abs(a.mean(1)[2, 6] - (0..<5).reduce(0) { $0 + a[2, $1, 6] } / 5) < 1e-6)
    }

    @Test func activationsMatchDoublePrecision() {
        let x = noise([4001]) * 12
        let d = x.array.map(Double.init)
        #expect(relativeError(x.silu(), d.map { $0 / (1 + exp(-$0)) }) < 3e-7)
        #expect(relativeError(x.gelu(), d.map { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }) < 3e-7)
        #expect(
            relativeError(
                x.geluTanh(), d.map { 0.5 * $0 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) })
                < 3e-7)
        #expect(relativeError(x.exp(), d.map { exp($0) }) < 3e-7)
        #expect(Tensor([.nan, -.infinity, 200]).exp().array[0].isNaN)
    }

    @Test func normsMatchDoublePrecision() {
        let x = noise([37, 75]), w = noise([75], seed: 5), b = noise([75], seed: 6)
        var layer: [Double] = [], rms: [Double] = [], soft: [Double] = []
        for row in 0..<37 {
            let v = (0..<75).map { Double(x[row, $0]) }
            let mean = v.reduce(0, +) / 75, variance = v.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 75
            layer += (0..<75).map { (v[$0] - mean) / (variance + 1e-6).squareRoot() * Double(w[$0]) + Double(b[$0]) }
            rms += (0..<75).map { v[$0] / (v.reduce(0) { $0 + $1 * $1 } / 75 + 1e-6).squareRoot() * Double(w[$0]) }
            let sum = v.reduce(0) { $0 + exp($1) }
            soft += v.map { exp($0) / sum }
        }
        #expect(relativeError(x.layerNorm(w, b, eps: 1e-6), layer) < 5e-7)
        #expect(relativeError(x.rmsNorm(w, eps: 1e-6), rms) < 5e-7)
        #expect(relativeError(x.softmax(), soft) < 5e-7)
        let channelFirst = x.transposed  // [75, 37]
        let gamma = w.reshaped(75, 1)
        let expected = (x / (x * x).mean(1).map { ($0 * 75).squareRoot() }.reshaped(37, 1)).transposed * gamma
        let normed = channelFirst.channelNorm(gamma)
        #expect(relativeError(normed, (expected * 75.0.squareRootFloat).array.map(Double.init)) < 1e-6)
        #expect(relativeError(channelFirst.channelNorm(gamma, silu: true), normed.silu().array.map(Double.init)) < 1e-6)
    }

    @Test func rotaryRotatesPairs() {
        let x = noise([2, 3, 8]), angle = noise([3, 2], seed: 9)
        let c = angle.map { Float(cos(Double($0))) }, s = angle.map { Float(sin(Double($0))) }
        let y = x.rotary(c, s, heads: 2), z = x.rotary(c, s, heads: 2, .halves)
        #expect(abs(y[1, 2, 6] - (x[1, 2, 6] * c[2, 1] - x[1, 2, 7] * s[2, 1])) < 1e-6)
        #expect(abs(y[1, 2, 7] - (x[1, 2, 6] * s[2, 1] + x[1, 2, 7] * c[2, 1])) < 1e-6)
        #expect(abs(z[1, 2, 4] - (x[1, 2, 4] * c[2, 0] - x[1, 2, 6] * s[2, 0])) < 1e-6)
    }
}

extension Double {
    var squareRootFloat: Float { Float(squareRoot()) }
}
