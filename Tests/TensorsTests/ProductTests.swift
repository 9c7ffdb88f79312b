import Foundation
import Testing

@testable import Tensors

struct ProductTests {
    @Test(arguments: [(1, 5, 3), (300, 70, 1100), (600, 33, 40)])
    func linearMatchesDoublePrecision(m: Int, k: Int, n: Int) {
        let x = noise([m, k]), w = noise([n, k], seed: 2), b = noise([n], seed: 3)
        let y = sameOnAllThreads { x.linear(w, b) }
        let (xs, ws, bs) = (x.array, w.array, b.array)
        var expected = [Double](repeating: 0, count: m * n)
        for i in 0..<m {
            for j in 0..<n {
                var sum = Double(bs[j])
                for c in 0..<k { sum += Double(xs[i * k + c]) * Double(ws[j * k + c]) }
                expected[i * n + j] = sum
            }
        }
        #expect(relativeError(y, expected) < 1e-6)
        let product = x.reshaped(1, m, k).matmul(w, transposed: true) + b
        #expect(relativeError(product, expected) < 1e-6)
        #expect(relativeError(x.matmul(w.transposed) + b, expected) < 1e-6)
    }

    @Test(arguments: [(3, 5, false), (150, 700, false), (150, 700, true)])
    func attentionMatchesDoublePrecision(queries: Int, keys: Int, masked: Bool) {
        let (heads, width) = (2, 8)
        let q = noise([queries, heads * width]) * 3, k = noise([keys, heads * width], seed: 2) * 3
        let v = noise([keys, heads * width], seed: 3)
        // The whole first block of keys is masked for every query, which a running maximum must survive.
        let bias = masked
            ? Tensor((0..<queries * keys).map { $0 % keys < 600 ? -.infinity : 0 }, [queries, keys]) : nil
        let y = sameOnAllThreads { attention(q, k, v, heads: heads, bias: bias) }
        var expected: [Double] = []
        for i in 0..<queries {
            for h in 0..<heads {
                let weights = (0..<keys).map { j -> Double in
                    if masked && j < 600 { return 0 }
                    return exp((0..<width).reduce(0.0) {
                        $0 + Double(q[i, h * width + $1]) * Double(k[j, h * width + $1])
                    } / Double(width).squareRoot())
                }
                let sum = weights.reduce(0, +)
                for c in 0..<width {
                    expected.append((0..<keys).reduce(0.0) { $0 + weights[$1] * Double(v[$1, h * width + c]) } / sum)
                }
            }
        }
        #expect(relativeError(y, expected) < 1e-6)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var input: [Int], weight: [Int], stride: [Int], padding: [Padding], groups = 1, dilation = [1, 1, 1]
        var testDescription: String { "\(input) * \(weight)" }
    }

    @Test(arguments: [
        Case(input: [3, 3, 37, 21], weight: [8, 3, 3, 3, 3], stride: [1, 1, 1], padding: [Padding(2, 0), 1, 1]),
        Case(input: [40, 4, 48, 40], weight: [24, 40, 3, 3, 3], stride: [1, 1, 1], padding: [0, 1, 1]),
        Case(input: [12, 2, 17, 18], weight: [12, 12, 1, 3, 3], stride: [1, 2, 2], padding: [0, Padding(0, 1), Padding(0, 1)]),
        Case(input: [8, 5, 6, 6], weight: [8, 8, 3, 1, 1], stride: [2, 1, 1], padding: [0, 0, 0]),
        Case(input: [16, 1, 1, 300], weight: [16, 4, 1, 1, 9], stride: [1, 1, 3], padding: [0, 0, 4], groups: 4),
        Case(input: [6, 1, 20, 20], weight: [5, 6, 1, 3, 3], stride: [1, 1, 1], padding: [0, 2, 2], dilation: [1, 2, 2]),
        Case(input: [20, 2, 9, 11], weight: [30, 20, 1, 1, 1], stride: [1, 1, 1], padding: [0, 0, 0]),
    ])
    func convolutionMatchesDoublePrecision(_ c: Case) {
        let x = noise(c.input), w = noise(c.weight, seed: 2), b = noise([c.weight[0]], seed: 3)
        let y = sameOnAllThreads {
            x.conv3d(w, b, stride: c.stride, padding: c.padding, dilation: c.dilation, groups: c.groups)
        }
        let (xs, ws, bs) = (x.array, w.array, b.array)
        let (s, k, o) = (Array(c.input[1...]), Array(c.weight[2...]), Array(y.shape[1...]))
        let perGroup = c.weight[1], outPerGroup = c.weight[0] / c.groups
        var expected = [Double](repeating: 0, count: y.count)
        var position = 0
        for f in 0..<c.weight[0] {
            for t in 0..<o[0] {
                for i in 0..<o[1] {
                    for j in 0..<o[2] {
                        var sum = Double(bs[f])
                        for g in 0..<perGroup {
                            let channel = f / outPerGroup * perGroup + g
                            for a in 0..<k[0] {
                                let tt = t * c.stride[0] + a * c.dilation[0] - c.padding[0].before
                                guard tt >= 0, tt < s[0] else { continue }
                                for p in 0..<k[1] {
                                    let ii = i * c.stride[1] + p * c.dilation[1] - c.padding[1].before
                                    guard ii >= 0, ii < s[1] else { continue }
                                    for q in 0..<k[2] {
                                        let jj = j * c.stride[2] + q * c.dilation[2] - c.padding[2].before
                                        guard jj >= 0, jj < s[2] else { continue }
                                        sum += Double(xs[((channel * s[0] + tt) * s[1] + ii) * s[2] + jj])
                                            * Double(ws[(((f * perGroup + g) * k[0] + a) * k[1] + p) * k[2] + q])
                                    }
                                }
                            }
                        }
                        expected[position] = sum
                        position += 1
                    }
                }
            }
        }
        #expect(relativeError(y, expected) < 1e-6)
    }

    @Test func flatConvolutionsAndBatches() {
        let x = noise([2, 4, 9, 10]), w = noise([6, 4, 3, 3], seed: 2)
        let y = x.conv2d(w, padding: [1, 1])
        let second = x.selected(0, 1).conv2d(w, padding: [1, 1])
        #expect(y.shape == [2, 6, 9, 10] && y.selected(0, 1).array == second.array)
        let line = noise([4, 30]).conv1d(noise([6, 4, 3], seed: 2), stride: 2, padding: Padding(2, 0))
        #expect(line.shape == [6, 15])
    }
}
