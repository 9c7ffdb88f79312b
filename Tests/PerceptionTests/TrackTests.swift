import Foundation
import Perception
import Testing

struct TrackTests {
    @Test(arguments: ["mediapipe478", "understudy82"], [[0.0, 0, 0], [0.2, 0.9, -0.1], [-0.4, -0.6, 0.5], [0, 0, 2.9]])
    func headFitFindsThePose(name: String, turn: [Double]) throws {
        let set = try LandmarkSet.named(name)
        let rotation = Matrix3.rotation(turn)
        var landmarks = [Float](repeating: 0, count: set.count * 3)
        for (i, point) in zip(set.indices, set.canonical) {
            let p = 700 * Matrix3.apply(rotation, SIMD3(Double(point.x), Double(point.y), Double(point.z)))
            landmarks[3 * i] = Float(p.x + 321)
            landmarks[3 * i + 1] = Float(p.y + 187)
            landmarks[3 * i + 2] = Float(p.z)
        }
        let pose = try #require(HeadFit(set).pose(of: landmarks))
        #expect(zip(pose.rotation, rotation).allSatisfy { abs($0 - $1) < 1e-3 })
        #expect(abs(pose.radius - 700 * Double(set.sphereRadius)) < 0.1)
        #expect(pose.residual < 1e-3)
        // One landmark torn away hardly moves the head.
        landmarks[3 * set.indices[5]] += 60
        let robust = try #require(HeadFit(set).pose(of: landmarks))
        #expect(zip(robust.rotation, rotation).allSatisfy { abs($0 - $1) < 0.08 })
        #expect(HeadFit(set).pose(of: landmarks.map { _ in Float.nan }) == nil)
    }

    @Test func gapsAreFilledAndFlagged() {
        var track = SyntheticPerson().track(frames: 30)
        let truth = track
        for f in 10..<13 {
            for j in 33..<54 {
                track.confidence[f * 75 + j] = 0
                track.setPoint(f, j, .zero)
            }
        }
        for f in 0..<30 { track.confidence[f * 75 + 30] = 0 }
        let result = JointTrackSmoothing(filter: nil).applied(to: track)
        #expect(result.filled[11 * 75 + 40] == 1 && result.filled[9 * 75 + 40] == 0)
        #expect(result.confidence(11, 40) > 0.5)
        let miss = result.point(11, 40) - truth.point(11, 40)
        #expect((miss * miss).sum().squareRoot() < 2)
        // Never seen: nothing to fill from.
        #expect(result.confidence(5, 30) == 0 && result.filled[5 * 75 + 30] == 0)
    }

    /// Noise of a joint at rest shrinks, a fast one is followed without lag.
    @Test func oneEuro() {
        let times = (0..<60).map { Double($0) / 30 }
        let filter = OneEuroFilter()
        let noise = times.indices.map { sin(Double($0 * $0) * 12.9898) * 0.01 }
        let still = filter.smoothed(noise, times: times)
        func energy(_ v: [Double]) -> Double { v.reduce(0) { $0 + $1 * $1 } }
        #expect(energy(still) < 0.5 * energy(noise))
        let ramp = times.map { $0 * 4 }
        #expect(zip(filter.smoothed(ramp, times: times), ramp).dropFirst(8).dropLast(8).allSatisfy { abs($0 - $1) < 0.03 })
    }

    @Test func cropKeepsFlatColourAndPlace() {
        var picture = [UInt8](repeating: 50, count: 60 * 40 * 3)
        for y in 10..<20 { for x in 30..<40 { picture[(y * 60 + x) * 3] = 250 } }
        let crop = picture.withUnsafeBytes {
            cropSquare($0, width: 60, height: 40, square: FaceSquare(x: 35, y: 15, side: 20), size: 40)
        }
        #expect(crop[(20 * 40 + 20) * 3] == 250 && crop[(20 * 40 + 4) * 3] == 50)
        let outside = picture.withUnsafeBytes {
            cropSquare($0, width: 60, height: 40, square: FaceSquare(x: -500, y: 900, side: 30), size: 16)
        }
        #expect(outside.allSatisfy { $0 == 50 })
    }

    @Test func drawingPutsNearOverFar() throws {
        let track = SyntheticPerson().track(frames: 1)
        let depth = (0..<75).map { track.position(0, $0).z }
        let map = try SkeletonDrawing(halfWidth: 3).map(
            keypoints: track.keypoints, depth: depth, confidence: track.confidence, width: 640, height: 960)
        let elbow = track.point(0, 14)
        let at = (Int(elbow.y) * 640 + Int(elbow.x)) * 3
        #expect(Array(map[at..<(at + 3)]) == [255, 255, 0])  // the right elbow's disc in OpenPose's colour
        let sphere = HeadSphereDrawing().map(
            rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1], centerX: 50.5, centerY: 50.5, radius: 20, width: 100, height: 100)
        let middle = (50 * 100 + 50) * 3
        #expect(Array(sphere[middle..<(middle + 3)]) == [128, 128, 255])
        #expect(sphere[0] == 0 && sphere[middle + 60 + 6] == 0)
        // Garbage must not reach cairo.
        _ = try SkeletonDrawing().map(
            keypoints: track.keypoints.map { _ in Float.nan }, depth: [], confidence: track.confidence, width: 8, height: 8)
    }
}
