import Foundation
import MetricsNode
import NodeKit
import NodeTesting
import Testing

struct MetricsTests {
    let bench: NodeBench
    init() throws { bench = try NodeBench() }

    private func video(_ frames: [[UInt8]], width: Int) throws -> Artifact {
        try bench.artifact(.video) { writer in
            let output = try FrameWriter(writer, width: width, height: frames[0].count / 3 / width, timeBase: Rational(1, 25))
            for (i, frame) in frames.enumerated() { try output.append(frame, at: Int64(i)) }
            try output.finish(end: Int64(frames.count))
        }
    }

    private func noise(_ seed: UInt64, width: Int, height: Int) -> [UInt8] {
        let random = Randomness(seed: seed)
        return (0..<(width * height * 3)).map { UInt8(random.words(at: UInt64($0)).0 & 255) }
    }

    /// Constant pictures have closed forms: 20·log₁₀(255/10) dB, and an SSIM whose contrast terms are one.
    @Test func knownValues() {
        let gray = [UInt8](repeating: 100, count: 16 * 16 * 3)
        let lighter = [UInt8](repeating: 110, count: 16 * 16 * 3)
        #expect(abs(ImageQuality.psnr(gray, lighter, width: 16) - 28.1308) < 1e-3)
        let (a, b) = (100.0 / 255, 110.0 / 255)
        let expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
        #expect(abs(ImageQuality.ssim(gray, lighter, width: 16) - expected) < 1e-4)
        #expect(ImageQuality.ssim(noise(1, width: 24, height: 20), noise(1, width: 24, height: 20), width: 24) > 0.9999)
        #expect(abs(ImageQuality.ssim(noise(1, width: 64, height: 64), noise(2, width: 64, height: 64), width: 64)) < 0.05)
    }

    @Test func compareGivesMeansAndPersonBox() throws {
        let frame = noise(3, width: 32, height: 32)
        var damaged = frame
        for i in 0..<(32 * 4 * 3) { damaged[i] = 0 }  // the top rows, outside the person
        var keypoints = [Float](repeating: 0, count: 150)
        var confidence = [Float](repeating: 0, count: 75)
        for (joint, (x, y)) in [(11, (10, 14)), (12, (22, 14)), (23, (12, 26)), (24, (20, 26))] as [(Int, (Float, Float))] {
            (keypoints[joint * 2], keypoints[joint * 2 + 1], confidence[joint]) = (x, y, 1)
        }
        let pose = try bench.artifact(
            PoseTrack(
                timeline: Timeline(rate: Rational(25), count: 1), width: 32, height: 32, keypoints: keypoints,
                positions: [Float](repeating: 0, count: 225), confidence: confidence))
        let outputs = try bench.run(
            MetricsCompare.self,
            inputs: ["video": video([damaged], width: 32), "truth": video([frame], width: 32), "pose": pose])
        let table: Table = try outputs["table"]
        #expect(table.labels == ["mean", "0"])
        #expect(table.values[0][0] < 30)
        #expect(table.values[0][2] == 100)
        #expect(throws: NodeError.self) {
            try bench.run(MetricsCompare.self, inputs: ["video": video([frame, frame], width: 32), "truth": video([frame], width: 32)])
        }
    }

    @Test func aColourStepAtTheJoinShows() throws {
        let frames = (0..<9).map { i in [UInt8](repeating: i <= 4 ? 100 : 112, count: 8 * 8 * 3) }
        let segments = try bench.artifact(Segments(ranges: [0..<5, 4..<9], frameCount: 9))
        let outputs = try bench.run(MetricsDrift.self, inputs: ["video": video(frames, width: 8), "segments": segments])
        let table: Table = try outputs["table"]
        #expect(table.labels == ["join 1", "mean inside", "first to last segment"])
        #expect(table.values[0][1] > 4)
        #expect(table.values[1][1] < 1e-9)
        #expect(table.csv().hasPrefix("label,frame,delta_e [ΔE76],contrast_step [L*]\r\n"))
    }
}
