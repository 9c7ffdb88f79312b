import Foundation
import NodeKit
import NodeTesting
import Safetensors

/// One artifact of every value kind, small, with values that tests can recognise.
enum SampleValues {
    static let timeline = Timeline(timeBase: Rational(1, 1000), timestamps: [0, 40, 80, 120, 160], end: 200)
    static let (width, height) = (48, 32)

    static func picture(_ frame: Int) -> [UInt8] {
        var rgb: [UInt8] = []
        for y in 0..<height {
            for x in 0..<width { rgb += [UInt8(x * 5), UInt8(y * 7), UInt8(frame * 40)] }
        }
        return rgb
    }

    static func all(_ bench: NodeBench) throws -> [PortType: Artifact] {
        func frames(_ type: PortType) throws -> Artifact {
            try bench.artifact(type) { writer in
                let output = try FrameWriter(writer, width: width, height: height, timeBase: timeline.timeBase)
                for (i, stamp) in timeline.timestamps.enumerated() { try output.append(picture(i), at: stamp) }
                try output.finish(end: timeline.end)
            }
        }
        let count = timeline.count
        let joints = PoseTrack.jointCount
        let tone = (0..<4000).map { 0.5 * Float(sin(2 * Double.pi * 440 * Double($0) / 8000)) }
        let grid = LatentGrid(channels: 2, frames: 2, height: 4, width: 6, values: (0..<96).map { Float($0) / 96 })
        let text = "\(try bench.makeFolder())/note.txt"
        try Data("hello".utf8).write(to: URL(filePath: text))
        let tensors = "\(try bench.makeFolder())/tensors.safetensors"
        let writer = try SafetensorsWriter(path: tensors, metadata: [:])
        try writer.write("weight", [Float](repeating: 0.5, count: 6), shape: [2, 3])
        _ = try writer.finish(sync: false)
        return [
            .image: try bench.artifact(Image(width: width, height: height, pixels: picture(2))),
            .video: try frames(.video), .maps: try frames(.maps),
            .audio: try bench.artifact(
                Audio(sampleRate: 8000, samples: tone)),
            .pose: try bench.artifact(
                PoseTrack(
                    timeline: timeline, width: width, height: height,
                    keypoints: (0..<(count * joints * 2)).map { Float($0 % 30) }, positions: [Float](repeating: 0.25, count: count * joints * 3),
                    confidence: [Float](repeating: 1, count: count * joints))),
            .head: try bench.artifact(
                HeadTrack(
                    timeline: timeline, width: width, height: height,
                    rotation: (0..<count).flatMap { _ in [1, 0, 0, 0, 1, 0, 0, 0, 1] as [Float] },
                    center: [Float](repeating: 16, count: count * 2), radius: [Float](repeating: 6, count: count),
                    confidence: [Float](repeating: 0.9, count: count))),
            .faces: try bench.artifact(
                FaceTrack(
                    timeline: timeline, width: width, height: height, landmarkSet: "test", landmarkCount: 2,
                    boxes: (0..<count).flatMap { _ in [10, 8, 12, 14] as [Float] }, landmarks: [Float](repeating: 12, count: count * 6),
                    confidence: [Float](repeating: 1, count: count))),
            .faceMotion: try bench.artifact(
                FaceMotion(timeline: timeline, tokenCount: 2, channels: 3, tokens: (0..<(count * 6)).map { Float($0) })),
            .audioFeatures: try bench.artifact(
                AudioFeatures(timeline: timeline, kind: "test", channels: 4, features: (0..<(count * 4)).map { Float($0) })),
            .latent: try bench.artifact(Latent(grid: grid)), .poseFeatures: try bench.artifact(PoseFeatures(grid: grid)),
            .reference: try bench.artifact(
                Reference(latents: grid.values, channels: 4, height: 4, width: 6, names: ["one"])),
            .segments: try bench.artifact(Segments(ranges: [0..<5, 4..<9], frameCount: 9)),
            .table: try bench.artifact(
                Table(columns: [.init("length", unit: "m"), .init("ratio")], rows: [("arm", [0.5, 2]), ("leg", [.nan, 1])])),
            .model: try bench.file(tensors, type: .model), .tensor: try bench.file(tensors, type: .tensor), .file: try bench.file(text),
        ]
    }
}
