import Foundation
import Models
import Tensors

// Rates of the operations that networks spend their time in, and of the video autoencoder at its published widths.
//
//     swift run -c release benchmarks [threads] [filter]

let threads = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 1 : 1
let filter = CommandLine.arguments.count > 2 ? CommandLine.arguments[2] : ""

func ramp(_ shape: [Int]) -> Tensor {
    Tensor(shape) { for index in $0.indices { $0.initializeElement(at: index, to: Float(index % 1009) / 1009 - 0.5) } }
}

/// Seconds of processor time this process has used, all threads together.
func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Best of a few runs; `work` in floating-point operations, or bytes with `unit` "GB/s". The rate per processor second holds
/// on a busy machine as well.
func measure(_ name: String, work: Double, unit: String = "GFLOPS", runs: Int = 5, _ body: () -> Void) {
    guard filter.isEmpty || name.contains(filter) else { return }
    var best = (wall: Double.infinity, processor: Double.infinity)
    for _ in 0...runs {
        let start = (wall: ContinuousClock.now, processor: processorTime())
        Parallel.$threads.withValue(threads, operation: body)
        best.wall = min(best.wall, Double((ContinuousClock.now - start.wall) / .microseconds(1)) / 1e6)
        best.processor = min(best.processor, processorTime() - start.processor)
    }
    func text(_ value: Double) -> String { String(format: value < 10 ? "%.2f" : "%.1f", value) }
    let rates = work > 0
        ? ", \(text(work / best.wall / 1e9)) \(unit), \(text(work / best.processor / 1e9)) per processor second" : ""
    print("\(name): \(text(best.wall * 1000)) ms, \(text(best.processor * 1000)) ms processor\(rates)")
}

func conv(_ inChannels: Int, _ outChannels: Int, _ t: Int, _ h: Int, _ w: Int) {
    let x = ramp([inChannels, t + 2, h, w]), weight = ramp([outChannels, inChannels, 3, 3, 3]), bias = ramp([outChannels])
    measure("conv3d \(inChannels)→\(outChannels) \(t)×\(h)×\(w)", work: 54 * Double(inChannels * outChannels * t * h * w)) {
        _ = x.conv3d(weight, bias, padding: [0, 1, 1])
    }
}

conv(96, 96, 4, 128, 128)
conv(192, 192, 4, 64, 64)
conv(384, 384, 2, 32, 32)
conv(384, 384, 1, 16, 16)
conv(96, 3, 4, 128, 128)

do {
    let x = ramp([4096, 1536]), w = ramp([1536, 1536]), b = ramp([1536])
    measure("linear 4096×1536×1536", work: 2 * 4096 * 1536 * 1536) { _ = x.linear(w, b) }
    let q = ramp([4096, 512])
    measure("attention 4×4096×128", work: 4 * 4096 * 4096 * 512, runs: 2) { _ = attention(q, q, q, heads: 4) }
    let large = ramp([1 << 24])
    measure("silu", work: 8 * Double(1 << 24), unit: "GB/s") { _ = large.silu() }
    measure("add", work: 12 * Double(1 << 24), unit: "GB/s") { _ = large + large }
    let video = ramp([96, 4, 128, 128]), gamma = ramp([96])
    measure("channel norm + silu", work: 8 * Double(96 * 4 * 128 * 128), unit: "GB/s") {
        _ = video.channelNorm(gamma, silu: true)
    }
    measure("permute", work: 8 * Double(96 * 4 * 128 * 128), unit: "GB/s") { _ = video.permuted(1, 2, 3, 0) }
}

// A folder with an AutoencoderKLWan as third argument: decodes 9 frames of 64×64 and encodes them again.
if CommandLine.arguments.count > 3 {
    let vae = try AutoencoderKLWan(WeightStore(path: CommandLine.arguments[3]))
    let latents = ramp([vae.configuration.latentChannels, 3, 8, 8])
    measure("vae decode 9×64×64", work: 0, runs: 1) { _ = vae.decode(latents) }
    let frames = ramp([3, 9, 64, 64])
    measure("vae encode 9×64×64", work: 0, runs: 1) { _ = vae.encode(frames) }
}
