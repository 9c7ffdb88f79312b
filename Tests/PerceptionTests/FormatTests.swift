import Foundation
import Perception
import Testing

struct FormatTests {
    private func fixture(_ name: String) throws -> String {
        try #require(Bundle.module.path(forResource: "Fixtures/\(name)", ofType: "npz"))
    }

    /// Forward kinematics against SciPy's rotations (`make_smplx.py`), through deflated and stored archives.
    @Test func smplxJoints() throws {
        let motion = try fixture("smplx_motion")
        let track = try SMPLX.track(
            motion: motion, model: try fixture("smplx_model"), rate: nil, zUp: false, width: 640, height: 960)
        let truth = try #require(try NumpyArchive(path: motion).array("joints"))
        #expect(truth.shape == [4, 55, 3] && track.frameCount == 4)
        #expect(abs(track.times[1] - 1.0 / 30) < 1e-9)
        func joint(_ f: Int, _ j: Int) -> SIMD3<Double> {
            let at = (f * 55 + j) * 3
            return SIMD3(truth.values[at], -truth.values[at + 1], -truth.values[at + 2])
        }
        for f in 0..<4 {
            let hips = (joint(f, 1) + joint(f, 2)) / 2
            for (ours, theirs) in [(11, 16), (16, 21), (27, 7), (33 + 7, 27), (54 + 3, 54), (2, 23)] {
                let p = track.position(f, ours)
                let d = SIMD3(Double(p.x), Double(p.y), Double(p.z)) - (joint(f, theirs) - hips)
                #expect((d * d).sum() < 1e-9, "joint \(ours)")
            }
        }
        #expect(track.filled[0] == 1 && track.filled[11] == 0)
    }

    @Test func bvh() throws {
        let side = { (name: String, x: String) in
            """
            JOINT \(name)UpLeg { OFFSET \(x)10 0 0 CHANNELS 3 Zrotation Xrotation Yrotation
            JOINT \(name)Leg { OFFSET 0 -40 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site { OFFSET 0 -40 0 } } }
            """
        }
        let arm = { (name: String, x: String) in
            """
            JOINT \(name)Arm { OFFSET \(x)20 50 0 CHANNELS 3 Zrotation Xrotation Yrotation
            JOINT \(name)Hand { OFFSET \(x)50 0 0 CHANNELS 3 Zrotation Xrotation Yrotation End Site { OFFSET \(x)5 0 0 } } }
            """
        }
        let text = """
            HIERARCHY ROOT mixamorig:Hips { OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
            \(side("Left", "")) \(side("Right", "-")) \(arm("Left", "")) \(arm("Right", "-"))
            JOINT Head { OFFSET 0 65 0 CHANNELS 0 End Site { OFFSET 0 20 0 } } }
            MOTION Frames: 2 Frame Time: 0.02
            """
        let zero = [Double](repeating: 0, count: 30)
        var turned = zero
        turned[18] = 90  // the left arm about z: it points up
        let lines = [zero, turned].map { $0.map { "\($0)" }.joined(separator: " ") }.joined(separator: "\n")
        let track = try BVH.track(text + "\n" + lines, name: "test", unit: 0.01, width: 400, height: 400)
        let (shoulder, hand) = (track.position(1, 11), track.position(1, 15))
        #expect(abs(hand.x - shoulder.x) < 1e-5 && abs(shoulder.y - hand.y - 0.5) < 1e-5)
        #expect(track.position(0, 15).x > 0.69 && track.position(0, 0).z < -0.05)
        #expect(throws: PerceptionError.self) { try BVH.track(text, name: "cut", unit: nil, width: 4, height: 4) }
    }

    @Test func openPoseTakesTheSurestPerson() throws {
        func person(_ x: Double, _ sure: Double) -> [String: Any] {
            let points: [Double] = (0..<25).flatMap { [x + Double($0), 5, sure] }
            return ["pose_keypoints_2d": points, "hand_left_keypoints_2d": [Double]()]
        }
        let bytes = try JSONSerialization.data(withJSONObject: ["people": [person(10, 0.4), person(100, 0.9)]])
        let track = try KeypointFiles.openPose([("a.json", bytes)], times: [0], width: 200, height: 100)
        #expect(track.point(0, 12) == SIMD2(102, 5) && track.confidence(0, 12) == 0.9)  // right shoulder is point 2
        #expect(track.confidence(0, 40) == 0)
        #expect(throws: PerceptionError.self) {
            try KeypointFiles.openPose([("b.json", Data("[1]".utf8))], times: [0], width: 2, height: 2)
        }
    }

    /// Damaged archives are errors, never crashes.
    @Test func hostileArchives() throws {
        let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: fixture("smplx_model"))))
        let path = FileManager.default.temporaryDirectory.appending(path: "hostile-\(UUID().uuidString).npz").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        var state: UInt64 = 7
        for round in 0..<150 {
            var bytes = good
            if round % 3 == 0 { bytes.removeLast(round * bytes.count / 160) }
            for _ in 0..<8 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let tail = Int(state >> 33) % 700
                if bytes.count > 800 { bytes[round % 2 == 0 ? bytes.count - 1 - tail : tail] = UInt8(truncatingIfNeeded: state >> 20) }
            }
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            do {
                let archive = try NumpyArchive(path: path)
                for name in archive.names { _ = try archive.array(name) }
            } catch is PerceptionError {}
        }
    }
}
