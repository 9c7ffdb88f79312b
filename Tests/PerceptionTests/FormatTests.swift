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

    /// A CMU file: its names, its end sites, its unit of 1/0.45 inch, which nothing in it tells; and Biped's names with spaces.
    @Test func bvhUnits() throws {
        let order = "CHANNELS 3 Zrotation Yrotation Xrotation"
        func leg(_ side: String, _ x: String) -> String {
            """
            JOINT \(side.first ?? "L")HipJoint { OFFSET 0 0 0 \(order) JOINT \(side)UpLeg { OFFSET \(x)1.36306 -1.79463 0.83929 \(order)
            JOINT \(side)Leg { OFFSET \(x)2.44811 -6.72613 0 \(order) JOINT \(side)Foot { OFFSET \(x)2.5622 -7.03959 0 \(order)
            JOINT \(side)ToeBase { OFFSET \(x)0.15764 -0.43311 2.32255 \(order) End Site { OFFSET 0 0 1.18966 } } } } } }
            """
        }
        func arm(_ side: String, _ x: String) -> String {
            """
            JOINT \(side)Shoulder { OFFSET 0 0 0 \(order) JOINT \(side)Arm { OFFSET \(x)3.36 1.2 0 \(order)
            JOINT \(side)ForeArm { OFFSET \(x)4.98 0 0 \(order) JOINT \(side)Hand { OFFSET \(x)3.48 0 0 \(order)
            JOINT \(side)FingerBase { OFFSET 0 0 0 \(order) JOINT \(side)HandIndex1 { OFFSET \(x)0.7 0 0 \(order)
            End Site { OFFSET \(x)0.57 0 0 } } } } } } }
            """
        }
        let text = """
            HIERARCHY ROOT Hips { OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
            \(leg("Left", "")) \(leg("Right", "-")) JOINT LowerBack { OFFSET 0 0 0 \(order) JOINT Spine { OFFSET 0 2.1 0 \(order)
            JOINT Spine1 { OFFSET 0 2.1 0 \(order) JOINT Neck { OFFSET 0 0 0 \(order) JOINT Neck1 { OFFSET 0 1.6 0 \(order)
            JOINT Head { OFFSET 0 1.7 0 \(order) End Site { OFFSET 0 1.7 0 } } } } \(arm("Left", "")) \(arm("Right", "-")) } } } }
            MOTION
            Frames: 1
            Frame Time: .0083333

            """
        let channels = text.components(separatedBy: "CHANNELS").count - 1
        let still = text + [String](repeating: "0", count: channels * 3 + 3).joined(separator: " ")
        let track = try BVH.track(still, name: "cmu", unit: nil, width: 400, height: 400)
        let tall = track.position(0, 27).y - track.position(0, 0).y
        #expect(tall > 1.3 && tall < 1.8, "from nose to ankle \(tall) m")
        #expect(track.confidence(0, 38) == 1 && track.position(0, 38).x > track.position(0, 15).x)
        let biped = still.replacing("JOINT ", with: "JOINT Bip01 ").replacing("Bip01 LeftUpLeg", with: "Bip01 L Thigh")
        #expect(try BVH.track(biped, name: "biped", unit: nil, width: 400, height: 400).position(0, 23) == track.position(0, 23))
        let error = #expect(throws: PerceptionError.self) { try BVH.track(text + "0 x", name: "cmu", unit: nil, width: 4, height: 4) }
        #expect("\(try #require(error))".contains("line \(text.split(separator: "\n", omittingEmptySubsequences: false).count)"))
    }

    /// Frames in the order of their numbers, also when images are file names; the face's corners and the hand's knuckles.
    @Test func cocoResultsByName() throws {
        let people = ["10.jpg", "9.jpg"].map { name -> [String: Any] in
            ["image_id": name, "keypoints": (0..<133).flatMap { [name == "9.jpg" ? 1.0 : 2.0, Double($0), 0.9] }, "score": 3]
        }
        let bytes = try JSONSerialization.data(withJSONObject: people)
        let track = try KeypointFiles.cocoWholeBody(bytes, name: "r.json", rate: 25, size: (200, 200))
        #expect(track.frameCount == 2 && track.point(0, 0).x == 1 && track.point(1, 0).x == 2)
        #expect(track.point(0, 9).y == 23 + 54 && track.point(0, 6).y == 23 + 36)  // the mouth's left corner, the right eye's outer
        #expect(track.point(0, 19).y == 91 + 5 && track.point(0, 18).y == 112 + 17)
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
