import Foundation
import Perception
import Testing

/// What breaks in open retargeters must not break here.
struct BoneTests {
    private func retarget(_ driving: JointTrack, _ reference: JointTrack) -> (JointTrack, BoneRatios) {
        let ratios = BoneRatios(reference: BoneLengths(of: reference), driving: BoneLengths(of: driving))
        return (BoneRetargeting(ratios: ratios).applied(to: driving, reference: reference), ratios)
    }

    private func largestShift(_ a: JointTrack, _ b: JointTrack) -> Float {
        zip(a.keypoints, b.keypoints).map { abs($0 - $1) }.max() ?? 0
    }

    private func frame(_ f: Int, of track: JointTrack) throws -> JointTrack {
        try JointTrack(
            keypoints: Array(track.keypoints[(f * 150)..<((f + 1) * 150)]),
            positions: Array(track.positions[(f * 225)..<((f + 1) * 225)]),
            confidence: Array(track.confidence[(f * 75)..<((f + 1) * 75)]),
            filled: Array(track.filled[(f * 75)..<((f + 1) * 75)]), times: [0], width: track.width, height: track.height)
    }

    private func child() -> SyntheticPerson {
        var child = SyntheticPerson()
        child.thigh = 0.30
        child.shin = 0.28
        child.upperArm = 0.22
        child.torso = 0.42
        child.x = 300
        child.ground = 850
        return child
    }

    @Test func samePersonStays() throws {
        let track = SyntheticPerson().track(frames: 40)
        #expect(largestShift(retarget(track, track).0, track) < 0.5)
        // One frame of the clip as the reference, as in self-reenactment.
        let (result, _) = retarget(track, try frame(17, of: track))
        #expect(largestShift(result, track) < 0.5)
        // The same without 3D.
        var flat = track
        flat.positions = flat.positions.map { _ in 0 }
        #expect(largestShift(retarget(flat, flat).0, flat) < 0.5)
    }

    @Test func oneBadFrameChangesNothing() throws {
        let driving = SyntheticPerson().track(frames: 40)
        let reference = try frame(9, of: child().track(frames: 12))
        let (_, clean) = retarget(driving, reference)
        // A forearm drawn to a fifth in the first frame, unknown to the 3D; a confident wrist that is somewhere else.
        var short = driving
        for (elbow, wrist) in [(13, 15), (14, 16)] {
            short.setPoint(0, wrist, short.point(0, elbow) + (short.point(0, wrist) - short.point(0, elbow)) * 0.2)
        }
        var garbage = driving
        garbage.setPoint(0, 15, SIMD2(3000, -2000))
        var unseen = garbage
        unseen.confidence[15] = 0.1
        for broken in [short, garbage, unseen] {
            let (_, ratios) = retarget(broken, reference)
            for group in BoneGroup.allCases {
                let change = ratios.pixels(group) / clean.pixels(group)
                #expect(abs(change - 1) < 0.03, "\(group): \(change)")
            }
        }
        // A reference wrist with no confidence is not measured at all.
        var blind = reference
        blind.setPoint(0, 15, SIMD2(5000, 5000))
        blind.confidence[15] = 0.1
        #expect(abs(retarget(driving, blind).1.pixels(.forearm) / clean.pixels(.forearm) - 1) < 0.03)
    }

    @Test func leftAndRightAreNotTheLarger() throws {
        let driving = SyntheticPerson().track(frames: 30)
        var reference = try frame(3, of: SyntheticPerson().track(frames: 8))
        let offset = reference.point(0, 15) - reference.point(0, 13)
        reference.setPoint(0, 15, reference.point(0, 13) + offset * 1.4)
        let ratio = retarget(driving, reference).1.pixels(.forearm)
        #expect(ratio > 1.05 && ratio < 1.35, "\(ratio)")
    }

    @Test func mirroredInMirroredOut() throws {
        func mirrored(_ track: JointTrack) -> JointTrack {
            var result = track
            for f in 0..<track.frameCount {
                for j in 0..<75 {
                    let (p, q) = (track.point(f, j), track.position(f, j))
                    let m = Skeleton.mirror[j]
                    result.setPoint(f, m, SIMD2(Float(track.width) - p.x, p.y))
                    result.setPosition(f, m, SIMD3(-q.x, q.y, q.z))
                }
            }
            return result
        }
        let (driving, reference) = (SyntheticPerson().track(frames: 20), child().track(frames: 5, seed: 0.4))
        let plain = retarget(driving, reference).0
        #expect(largestShift(mirrored(plain), retarget(mirrored(driving), mirrored(reference)).0) < 0.05)
    }

    @Test func scaledInputHasTheSameRatios() throws {
        let (driving, reference) = (SyntheticPerson().track(frames: 20), child().track(frames: 1))
        var half = driving
        half.keypoints = half.keypoints.map { $0 / 2 }
        (half.width, half.height) = (320, 480)
        let (a, b) = (retarget(driving, reference), retarget(half, reference))
        for group in BoneGroup.allCases {
            #expect(abs((a.1.relative[group] ?? 0) - (b.1.relative[group] ?? 0)) < 0.005)
        }
        #expect(largestShift(a.0, b.0) < 0.5)
    }

    @Test func proportionsGroundAndHands() throws {
        let person = child()
        let driving = SyntheticPerson().track(frames: 40)
        let (result, ratios) = retarget(driving, person.track(frames: 1))
        #expect(abs(ratios.pixels(.thigh) - 0.30 / 0.42) < 0.02)
        #expect(abs(ratios.pixels(.upperArm) - 0.22 / 0.28) < 0.02)
        for f in 0..<40 {
            // Feet stay on the reference's ground, which is flat here.
            let lowest = [27, 28, 29, 30, 31, 32].map { result.point(f, $0).y }.max() ?? 0
            let truth = [27, 28, 29, 30, 31, 32].map { person.track(frames: 1).point(0, $0).y }.max() ?? 0
            #expect(abs(lowest - truth) < 3)
            for (hand, wrist) in [(33, 15), (54, 16)] {
                #expect(result.point(f, hand) == result.point(f, wrist))
            }
        }
    }

    @Test func halfBodiesAndNobody() throws {
        let driving = SyntheticPerson().track(frames: 10)
        var bust = child().track(frames: 1)
        for j in 23...32 { bust.confidence[j] = 0.05 }
        var seated = child().track(frames: 1)
        for j in 25...32 { seated.confidence[j] = 0 }
        var nobody = bust
        nobody.confidence = nobody.confidence.map { _ in 0 }
        for reference in [bust, seated, nobody] {
            let (result, ratios) = retarget(driving, reference)
            #expect(result.keypoints.allSatisfy { $0.isFinite && abs($0) < 5000 })
            #expect(BoneGroup.allCases.allSatisfy { (0.4...2.5).contains(ratios.relative[$0] ?? 0) })
        }
        // Unseen legs take the ratio of what is next to them.
        let ratios = retarget(driving, bust).1
        #expect(!ratios.measured.contains(.shin))
        // A neck laid over the reference's neck.
        let (result, _) = retarget(driving, bust)
        let best = (0..<10).map { abs(result.point($0, 11).y - bust.point(0, 11).y) }.min() ?? 99
        #expect(best < 2)
    }
}
