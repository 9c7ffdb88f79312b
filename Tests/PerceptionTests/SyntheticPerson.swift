import Foundation
import Perception

/// A walking, gesturing stick person seen by a weak-perspective camera: exact joints for the tests.
struct SyntheticPerson {
    var upperArm = 0.28, forearm = 0.25, thigh = 0.42, shin = 0.40, torso = 0.50, shoulders = 0.36, hips = 0.24
    var neckLength = 0.22, foot = 0.2, hand = 0.09
    /// Pixels per metre, and where the ankles stand.
    var scale = 300.0
    var ground = 900.0
    var x = 320.0
    var width = 640, height = 960

    func track(frames: Int, seed: Double = 0) -> JointTrack {
        var track = JointTrack(times: (0..<frames).map { Double($0) / 25 }, width: width, height: height)
        for f in 0..<frames {
            let joints = pose(Double(f) * 0.13 + seed)
            let hip = (joints[23] + joints[24]) / 2
            for j in 0..<75 {
                let p = joints[j]
                track.setPosition(f, j, SIMD3(Float(p.x - hip.x), Float(p.y - hip.y), Float(p.z - hip.z)))
                track.setPoint(f, j, SIMD2(Float(x + scale * p.x), Float(ground + scale * p.y)))
                track.confidence[f * 75 + j] = 0.95
            }
        }
        return track
    }

    /// Joints in metres; the feet stand at y = 0, y points down.
    private func pose(_ t: Double) -> [SIMD3<Double>] {
        var j = [SIMD3<Double>](repeating: .zero, count: 75)
        let sway = 0.2 * sin(t)
        func direction(_ side: Double, _ down: Double, _ away: Double) -> SIMD3<Double> {
            let v = SIMD3(side, down, away)
            return v / (v * v).sum().squareRoot()
        }
        for side in 0..<2 {
            let s = side == 0 ? 1.0 : -1.0
            j[27 + side] = SIMD3(sway + s * hips / 2, -0.08, 0)
            j[29 + side] = j[27 + side] + SIMD3(0, 0.06, 0.04)
            j[31 + side] = j[27 + side] + direction(0.3 * s, 0.3, -0.4) * foot
            j[25 + side] = j[27 + side] - direction(0, 1, 0.15) * shin
            j[23 + side] = j[25 + side] - direction(0, 1, -0.15) * thigh
        }
        let neck = (j[23] + j[24]) / 2 - SIMD3(0, torso, 0)
        for side in 0..<2 {
            let s = side == 0 ? 1.0 : -1.0
            j[11 + side] = neck + SIMD3(s * shoulders / 2, 0, 0)
            j[13 + side] = j[11 + side] + direction(0.5 * s, 0.8, 0.4 * sin(t + s)) * upperArm
            j[15 + side] = j[13 + side] + direction(0.6 * s, sin(2 * t + s), -0.4 - 0.3 * cos(t)) * forearm
            let wrist = j[15 + side]
            let start = side == 0 ? 33 : 54
            for k in 0..<21 {
                let finger = Double((k + 3) / 4) - 3
                let reach = k == 0 ? 0 : hand * (1 + 0.3 * Double((k - 1) % 4))
                j[start + k] = wrist + direction(0.4 * s + 0.1 * finger, -0.8, -0.1) * reach
            }
            for (body, k) in [(17, 17), (19, 5), (21, 2)] { j[body + side] = j[start + k] }
        }
        j[0] = neck + SIMD3(0, -neckLength, -0.08)
        for k in 1...10 {
            let s = k == 9 || k <= 3 || k == 7 ? 1.0 : -1.0
            j[k] = j[0] + SIMD3(s * (k == 7 || k == 8 ? 0.075 : 0.03), k >= 9 ? 0.05 : -0.03, k == 7 || k == 8 ? 0.1 : 0.02)
        }
        return j
    }
}
