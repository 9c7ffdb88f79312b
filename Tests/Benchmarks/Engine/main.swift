import Engine
import Foundation
import GraphKit
import NodeKit
import Media
import MediaFilesNode
import Safetensors

// The engine's own cost. Each line: measured, to be reached, ratio.
//
//     swift run -c release engine-benchmarks [filter]
//
// The whole table, with the programs that it is compared with, comes from Tests/Benchmarks/engine.sh.

let filter = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : ""
func section(_ name: String, _ body: () throws -> Void) rethrows {
    if filter.isEmpty || name == filter || name.hasPrefix(filter + " ") { try body() }
}

try section("overhead") {
    let site = try Site()
    let engine = try site.engine()
    _ = try engine.run(try site.graph(grid(100, rowLength: 10, seed: 0)), options: RunOptions(threads: 1))
    let count = 2000
    let perNode = try best(of: 3) {
        let seed = Int.random(in: 1_000_000..<1_000_000_000)
        let graph = try site.graph(grid(count, rowLength: 10, seed: seed))
        return try seconds {
            let summary = try engine.run(graph, options: RunOptions(threads: 1))
            precondition(summary.ran.count == count, "every node runs")
        } / Double(count)
    }
    report("a trivial node: key, run, store, index", perNode * 1e6, "µs", reach: 150, isCeiling: true)
}

for count in [10_000, 100_000] {
    try section("plan \(count)") {
        let site = try Site()
        let text = grid(count, rowLength: 100, seed: 0)
        _ = try site.engine().run(try site.graph(text), options: RunOptions(threads: 2))
        let name = count == 10_000 ? "10 000" : "100 000"
        let reach = Double(count) / 10_000 * 0.5
        var graph = try site.graph(text)
        let load = try best(of: 2) { try seconds { graph = try site.graph(text) } }
        let plan = try best(of: 2) { try seconds { _ = try site.engine().plan(graph) } }
        let rerun = try best(of: 2) {
            try seconds {
                let summary = try site.engine().run(graph, options: RunOptions(threads: 2))
                precondition(summary.ran.isEmpty, "nothing is left to do")
            }
        }
        report("\(name) nodes: read, check and plan", load + plan, "s", reach: reach, isCeiling: true)
        report("\(name) nodes: read, check and run with nothing to do", load + rerun, "s", reach: reach, isCeiling: true)
    }
}

try section("scheduling") {
    let site = try Site()
    let engine = try site.engine()
    let count = 1000
    /// What the same waits take on two bare threads.
    func ideal() -> Double {
        seconds {
            let done = DispatchSemaphore(value: 0)
            for _ in 0..<2 {
                Thread.detachNewThread {
                    for _ in 0..<(count / 2) { usleep(5000) }
                    done.signal()
                }
            }
            for _ in 0..<2 { done.wait() }
        }
    }
    let shares = try (0..<5).map { round in
        let graph = try site.graph(grid(count, rowLength: 4, seed: round * count, milliseconds: 5))
        let before = ideal()
        let time = try seconds { _ = try engine.run(graph, options: RunOptions(threads: 2)) }
        return (before + ideal()) / 2 / time
    }
    report(
        "1000 nodes of 5 ms on 2 threads: of two bare threads, median of five", shares.sorted()[2] * 100, "%", reach: 95, isCeiling: false)
    print("  \(shares.map { String(format: "%.1f", $0 * 100) }.joined(separator: ", "))")
}

section("hashing") {
    let bytes = [UInt8](repeating: 7, count: 256 << 20)
    let rate = best(of: 3) { seconds { _ = Digest.of(bytes) } }
    report("hashing, in memory", Double(bytes.count) / rate / 1e9, "GB/s", reach: 1, isCeiling: false)
}

/// A number that engine.sh measured with another program.
func peer(_ name: String) -> Double? { ProcessInfo.processInfo.environment[name].flatMap(Double.init) }

// A gigabyte through the store, beside `dd` on the same disk.
try section("disk") {
    guard let write = peer("DD_WRITE"), let read = peer("DD_READ") else { return }
    let site = try Site()
    let chunk = [UInt8](repeating: 1, count: 8 << 20)
    let count = 128
    let megabytes = Double(chunk.count * count) / 1e6
    var path = ""
    let writing = try best(of: 3) {
        if !path.isEmpty { unlink(path) }
        path = "\(site.folder)/value.safetensors"
        return try seconds {
            let writer = try ArtifactWriter(path: path, type: .video, threads: 2)
            writer.begin("frames", dtype: .u8, elementShape: [8 << 20])
            for _ in 0..<count { try chunk.withUnsafeBytes { try writer.append($0) } }
            _ = try writer.finish(sync: true)
        }
    }
    report("writing 1 GB: hashed and synced, of dd", megabytes / writing / write * 100, "%", reach: 80, isCeiling: false)
    let reading = try best(of: 3) {
        let descriptor = open(path, O_RDONLY)
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        close(descriptor)
        var sum: UInt64 = 0
        let time = try seconds {
            let file = try SafetensorsFile(path: path)
            file.withBytes(try file.info("frames")) { bytes in
                for index in 0..<(bytes.count / 8) { sum &+= bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) }
            }
        }
        precondition(sum != 0, "the bytes are there")
        return time
    }
    report("reading 1 GB, mapped: of dd", megabytes / reading / read * 100, "%", reach: 80, isCeiling: false)
}

// Decoding to RGB, beside the ffmpeg program with the same scaler and threads.
try section("decode") {
    guard let film = ProcessInfo.processInfo.environment["FILM"], let ffmpeg = peer("FFMPEG") else { return }
    let time = try best(of: 3) {
        try seconds {
            let reader = try VideoReader(path: film)
            var frames = 0
            while try reader.next() != nil { frames += 1 }
            precondition(frames == 600, "every frame is decoded")
        }
    }
    report("decoding 720p to RGB: of ffmpeg's time", time / ffmpeg * 1e5, "%", reach: 110, isCeiling: true)
    let site = try Site()
    let definition = NodeDefinition(VideoDecode.self)
    let node = try best(of: 2) {
        let sink = OutputSink(folder: "\(site.folder)/\(UUID().uuidString)", syncs: false)
        defer { try? FileManager.default.removeItem(atPath: sink.folder) }
        return try seconds {
            try definition.run(
                NodeInvocation(
                    inputs: ["file": [Artifact(type: .file, path: film, digest: Digest.of(film))]], parameters: [:], outputs: sink,
                    // One decodes, one hashes and writes.
                    context: NodeContext(threads: 2, scratch: "\(site.folder)/scratch")))
        }
    }
    report("the node, which also hashes and writes them", node / ffmpeg * 1e5, "%", reach: 110, isCeiling: true)
}
