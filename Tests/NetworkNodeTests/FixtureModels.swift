import Foundation
import NodeKit
import NodeTesting
import Safetensors

/// Models for node tests, made from the parity fixtures of the networks.
struct FixtureModels {
    let bench: NodeBench

    /// Writes the weights of a fixture as a single-file model.
    ///
    /// - Parameter changes: Entries of the configuration to replace.
    func model(_ name: String, changes: [String: Any] = [:]) throws -> Artifact {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let file = try SafetensorsFile(path: tests.appending(path: "Fixtures/Networks/\(name).safetensors").path)
        let config = Data((file.metadata["config"] ?? "{}").utf8)
        var object = try JSONSerialization.jsonObject(with: config) as? [String: Any] ?? [:]
        object.merge(changes) { $1 }
        let text = String(decoding: try JSONSerialization.data(withJSONObject: object), as: UTF8.self)
        let path = "\(try bench.makeFolder())/model.safetensors"
        let writer = try SafetensorsWriter(path: path, metadata: ["config": text], headerCapacity: 65_536)
        for (key, info) in file.tensors.sorted(by: { $0.key < $1.key }) where key.hasPrefix("weight.") {
            let values = try file.array(key, of: Float.self)
            try writer.write(String(key.dropFirst("weight.".count)), values, shape: info.shape)
        }
        _ = try writer.finish(sync: false)
        return try bench.file(path, type: .model)
    }

    /// A clip of smooth moving colours.
    func video(frames: Int, width: Int, height: Int, type: PortType = .video, changeAfter: Int = .max) throws
        -> Artifact
    {
        try bench.artifact(type) { writer in
            let output = try FrameWriter(writer, width: width, height: height, timeBase: Rational(1, 24))
            for frame in 0..<frames {
                let shift = frame >= changeAfter ? 90 : 0
                let pixels = (0..<(width * height * 3)).map {
                    UInt8(truncatingIfNeeded: $0 / 3 * 5 + frame * 7 + $0 % 3 * 40 + shift)
                }
                try output.append(pixels, at: Int64(frame))
            }
            try output.finish(end: Int64(frames))
        }
    }

    func grid(_ channels: Int, _ frames: Int, _ height: Int, _ width: Int, seed: UInt64) -> LatentGrid {
        LatentGrid(
            channels: channels, frames: frames, height: height, width: width,
            values: Randomness(seed: seed).normals(from: 0, count: channels * frames * height * width))
    }
}
