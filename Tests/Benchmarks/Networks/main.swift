import CPeak
import Foundation
import Locking
import Models
import Safetensors
import Tensors

// One measurement of our side; compare.py runs it beside PyTorch's. The result is one line of JSON, and the output tensor in a
// file if one is named.
//
//     benchmarks ITEM [--threads N] [--runs N] [--precision f32|bf16|int8] [--model FOLDER] [--inputs FILE] [--output FILE]
//
// ITEM: peak, linear, attention, dit, vae, reuse (with --actor FOLDER), elementwise.

struct Options {
    var item = ""
    var values: [String: String] = [:]

    init(_ arguments: [String]) {
        var rest = arguments[...]
        item = rest.popFirst() ?? ""
        while let name = rest.popFirst(), let value = rest.popFirst() { values[name] = value }
    }

    func number(_ name: String, _ standard: Int) -> Int { values[name].flatMap { Int($0) } ?? standard }
    func path(_ name: String) -> String {
        guard let path = values[name] else { fail("'\(item)' needs \(name)") }
        return path
    }
}

func fail(_ message: String) -> Never {
    FileHandle.standardError.write(Data("benchmarks: \(message)\n".utf8))
    exit(2)
}

let options = Options(Array(CommandLine.arguments.dropFirst()))
let precision = Precision(rawValue: options.values["--precision"] ?? "f32") ?? .f32

/// Seconds of processor time that this process has used, all threads together.
func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Best wall and processor times of a few runs in seconds, and what the last one gave.
func measured(_ body: () throws -> Tensor) rethrows -> (seconds: Double, processor: Double, result: Tensor) {
    try withoutActuallyEscaping(body) { try measured([$0])[0] }
}

/// The same of several things that are run by turns.
func measured(_ bodies: [() throws -> Tensor]) throws -> [(seconds: Double, processor: Double, result: Tensor)] {
    var best = bodies.map { _ in (seconds: Double.infinity, processor: Double.infinity, result: Tensor(zeros: [1])) }
    for _ in 0..<max(1, options.number("--runs", 3)) {
        for (index, body) in bodies.enumerated() {
            let start = (wall: ContinuousClock.now, processor: processorTime())
            best[index].result = try body()
            best[index].seconds = min(best[index].seconds, Double((ContinuousClock.now - start.wall) / .nanoseconds(1)) / 1e9)
            best[index].processor = min(best[index].processor, processorTime() - start.processor)
        }
    }
    return best
}

/// Numbers without a pattern that matters.
func ramp(_ shape: [Int]) -> Tensor {
    Tensor(shape) { for index in $0.indices { $0.initializeElement(at: index, to: Float(index &* 7919 % 1009) / 1009 - 0.5) } }
}

/// The most memory that this program has had. (`getrusage` would count that of the program that started it, too.)
func peakMemory() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
    return (Int(line.filter(\.isNumber)) ?? 0) * 1024
}

func report(_ name: String, _ times: (seconds: Double, processor: Double, result: Tensor)) {
    print(
        "{\"name\": \"\(name)\", \"seconds\": \(times.seconds), \"processor_seconds\": \(times.processor), \"peak_bytes\": \(peakMemory())}")
}

/// Runs the item on the inputs of `--inputs` and writes what it gives to `--output`.
func run() throws {
    func input(_ name: String) throws -> Tensor { try Tensor(SafetensorsFile(path: options.path("--inputs")), name) }
    let outcome: (seconds: Double, processor: Double, result: Tensor)
    switch options.item {
    case "peak":
        // What the other rates are held against: operations a second of multiply-adds on registers, on all threads; 0 where there are none.
        let threads = Parallel.threads, steps = 20_000_000
        let rates = [("f32", PEAK_F32), ("bf16", PEAK_BF16), ("int8", PEAK_INT8)].map { name, kind in
            let operations = Locked(0.0)
            let time = measured {
                operations.withLock { $0 = 0 }
                Parallel.forEach(count: threads) { _ in
                    let done = peak_run(kind, steps)
                    operations.withLock { $0 += done }
                }
                return Tensor(zeros: [1])
            }
            return "\"\(name)\": \(operations.withLock { $0 } / time.seconds)"
        }
        return print("{\"name\": \"peak\", \(rates.joined(separator: ", "))}")
    case "linear":
        let x = try input("x"), bias = try input("bias")
        let weight = LinearWeight(try input("weight"), precision)
        outcome = measured { x.linear(weight, bias) }
    case "attention":
        let (q, k, v) = (try input("q"), try input("k"), try input("v"))
        outcome = measured { attention(q, k, v, heads: options.number("--heads", 12), precision: precision) }
    case "dit":
        let transformer = try WanTransformer(WeightStore(path: options.path("--model"), precision: precision))
        let x = try input("latents"), text = try input("text")
        // Keys and values of the text are a part of PyTorch's forward pass, so they are of ours here.
        outcome = try measured { try transformer(x, timesteps: [500], transformer.conditioning(text: text)) }
    case "vae":
        let vae = try AutoencoderKLWan(WeightStore(path: options.path("--model"), precision: precision), only: .decoder)
        let latents = try input("latents")
        outcome = measured { vae.decode(latents) }
    case "reuse":
        return try measureReuse(
            wan: options.path("--model"), actor: options.path("--actor"), input("latents"), text: input("text"))
    case "elementwise":
        let x = ramp([4096, 8960]), row = ramp([8960])
        for (name, body) in [
            ("silu", { x.silu() }), ("gelu", { x.geluTanh() }), ("add", { x + x }), ("layer norm", { x.layerNorm(row, row, eps: 1e-6) }),
            ("rms norm", { x.rmsNorm(row, eps: 1e-6) }), ("transpose", { x.transposed }),
        ] as [(String, () -> Tensor)] { report(name, measured(body)) }
        return
    default: fail("ITEM is peak, linear, attention, dit, vae, reuse or elementwise, not '\(options.item)'")
    }
    report(options.item, outcome)
    guard let path = options.values["--output"] else { return }
    let writer = try SafetensorsWriter(path: path, headerCapacity: 4096)
    try writer.write("output", outcome.result.array, shape: outcome.result.shape)
    _ = try writer.finish(sync: false)
}

do {
    try Parallel.$threads.withValue(max(1, options.number("--threads", 1))) { try run() }
} catch {
    fail("\(error)")
}
