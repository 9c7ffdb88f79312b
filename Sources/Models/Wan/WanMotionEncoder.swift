import Tensors

/// The face motion encoder of Wan-Animate: one face picture → a motion vector, by linear motion decomposition (LIA).
struct WanMotionEncoder: Sendable {
    let size: Int
    let convIn: Convolution
    let blocks: [(first: Convolution, second: Convolution, skip: Convolution)]
    let convOut: Convolution
    let linears: [Linear]
    /// Orthonormal columns, `[out, motion]`.
    let directions: Tensor

    /// A convolution with weights scaled by 1/√fan-in; with a bias, a leaky ReLU (0.2, times √2) follows.
    struct Convolution: Sendable {
        let weight: Tensor
        let bias: Tensor?
        let stride: Int
        let padding: Int
        /// Zeros around the picture before the (1, 3, 3, 1) blur; nil: no blur.
        let blur: Int?

        init(_ weights: WeightScope, _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1, padding: Int = 0, isActive: Bool = true, blurs: Bool = false) {
            let scale = 1 / Float(inputs * kernel * kernel).squareRoot()
            weight = weights.tensor("weight", shape: [outputs, inputs, kernel, kernel]) * scale
            bias = isActive ? weights.tensor("act_fn.bias", shape: [outputs]) : nil
            self.stride = stride
            self.padding = padding
            blur = blurs ? (4 - stride + kernel - 1) / 2 : nil
        }

        private static let blurKernel: Tensor = {
            let taps: [Float] = [1, 3, 3, 1]
            return Tensor(taps.flatMap { a in taps.map { a * $0 / 64 } }, [1, 1, 4, 4])
        }()

        /// `[in, H, W]` → `[out, H', W']`.
        func callAsFunction(_ x: Tensor) -> Tensor {
            var x = x
            if let blur {
                // Channels as a batch: each is blurred alone.
                x = x.unsqueezed(1).conv2d(Self.blurKernel, padding: [Padding(blur, blur), Padding(blur, blur)]).squeezed(1)
            }
            let pad = Padding(padding, padding)
            let y = x.conv2d(weight, stride: [stride, stride], padding: [pad, pad])
            guard let bias else { return y }
            return (y + bias.reshaped(-1, 1, 1)).leakyReLU(slope: 0.2) * Float(2).squareRoot()
        }
    }

    init(_ weights: WeightScope, _ c: WanConfiguration) {
        size = c.motionSize
        func channels(_ side: Int) -> Int { c.motionChannels["\(side)"] ?? 1 }
        convIn = Convolution(weights.scope("conv_in"), 3, channels(size), kernel: 1)
        var side = size
        var blocks: [(Convolution, Convolution, Convolution)] = []
        while side > 4 {
            let scope = weights.scope("res_blocks", blocks.count)
            let (a, b) = (channels(side), channels(side / 2))
            blocks.append(
                (
                    Convolution(scope.scope("conv1"), a, a, kernel: 3, padding: 1),
                    Convolution(scope.scope("conv2"), a, b, kernel: 3, stride: 2, blurs: true),
                    Convolution(scope.scope("conv_skip"), a, b, kernel: 1, stride: 2, isActive: false, blurs: true)
                ))
            side /= 2
        }
        self.blocks = blocks
        convOut = Convolution(weights.scope("conv_out"), channels(4), c.motionStyleDim, kernel: 4, isActive: false)
        linears = (0..<5).map { index in
            Linear(weights.scope("motion_network", index), c.motionStyleDim, index == 4 ? c.motionDim : c.motionStyleDim)
                .scaled(1 / Float(c.motionStyleDim).squareRoot())
        }
        let raw = weights.tensor("motion_synthesis_weight", shape: [c.motionOutputDim, c.motionDim])
        directions = OrthonormalBasis.columns(of: raw + 1e-8)
    }

    /// A face `[3, size, size]` in −1 … 1 → its motion vector, `[out]`.
    func callAsFunction(_ face: Tensor) -> Tensor {
        var x = convIn(face)
        for block in blocks {
            x = (block.second(block.first(x)) + block.skip(x)) / Float(2).squareRoot()
        }
        var motion = convOut(x).reshaped(1, -1)
        for linear in linears { motion = linear(motion) }  // nothing between them, as published
        return motion.matmul(directions, transposed: true).squeezed(0)
    }
}

extension Linear {
    /// The layer with weights times a factor, the bias as it is.
    func scaled(_ factor: Float) -> Linear { Linear(weight: weight.tensor * factor, bias: bias) }
}

/// The Q of a QR decomposition by Householder reflections, with LAPACK's signs (R's diagonal may be negative): networks that were
/// trained through `torch.linalg.qr` depend on them.
enum OrthonormalBasis {
    /// - Parameter matrix: `[m, n]`, m ≥ n.
    /// - Returns: `[m, n]` with orthonormal columns.
    static func columns(of matrix: Tensor) -> Tensor {
        let (m, n) = (matrix.shape[0], matrix.shape[1])
        var a = matrix.array.map { Double($0) }
        var reflections: [(v: [Double], tau: Double)] = []
        for k in 0..<n {
            let alpha = a[k * n + k]
            var tail = 0.0
            for row in (k + 1)..<max(m, k + 1) { tail += a[row * n + k] * a[row * n + k] }
            var v = [Double](repeating: 0, count: m)
            v[k] = 1
            var tau = 0.0
            if tail > 0 {
                let norm = (alpha * alpha + tail).squareRoot()
                let beta = alpha >= 0 ? -norm : norm
                tau = (beta - alpha) / beta
                for row in (k + 1)..<m { v[row] = a[row * n + k] / (alpha - beta) }
                for column in k..<n {
                    var dot = 0.0
                    for row in k..<m { dot += v[row] * a[row * n + column] }
                    for row in k..<m { a[row * n + column] -= tau * dot * v[row] }
                }
            }
            reflections.append((v, tau))
        }
        var q = [Double](repeating: 0, count: m * n)
        for k in 0..<n { q[k * n + k] = 1 }
        for k in stride(from: n - 1, through: 0, by: -1) {
            let (v, tau) = reflections[k]
            for column in 0..<n {
                var dot = 0.0
                for row in k..<m { dot += v[row] * q[row * n + column] }
                for row in k..<m { q[row * n + column] -= tau * dot * v[row] }
            }
        }
        return Tensor(q.map { Float($0) }, [m, n])
    }
}
