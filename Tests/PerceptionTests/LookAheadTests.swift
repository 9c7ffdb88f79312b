import Foundation
import Perception
import Testing

/// What happens late in a clip must not reach its beginning: segments before it stay cached.
struct LookAheadTests {
    private let times = (0..<80).map { Double($0) / 25 }
    /// From here on the clips differ.
    private let change = 45
    /// 0.2 s of look-ahead at 25 frames per second.
    private let reach = 5

    /// Deterministic noise in −1…1.
    private func noise(_ i: Int, _ seed: Int) -> Double { sin(Double(i * i) * 12.9898 + Double(seed) * 78.233) }

    /// A person who, in the second of the two tracks, becomes another one, elsewhere, late in the clip.
    private func tracks(gaps: Bool) -> (JointTrack, JointTrack) {
        var a = SyntheticPerson().track(frames: times.count)
        for i in a.keypoints.indices { a.keypoints[i] += Float(noise(i, 1)) }
        if gaps {
            for f in times.indices {
                for j in 0..<75 where noise(f / 3 * 75 + j, 2) > 0.8 || (f > 40 && f < 50 && j % 4 == 0) {
                    a.confidence[f * 75 + j] = 0.1
                }
            }
        }
        var other = SyntheticPerson()
        (other.forearm, other.torso, other.scale, other.x) = (0.4, 0.3, 200, 100)
        let late = other.track(frames: times.count, seed: 2)
        var b = a
        for f in change..<times.count {
            for j in 0..<75 {
                b.setPoint(f, j, late.point(f, j))
                b.setPosition(f, j, late.position(f, j))
                b.confidence[f * 75 + j] = gaps && j % 3 == 0 ? 0 : 0.95
            }
        }
        return (a, b)
    }

    private func same(_ a: JointTrack, _ b: JointTrack, before f: Int) -> Bool {
        a.keypoints[..<(f * 150)] == b.keypoints[..<(f * 150)] && a.positions[..<(f * 225)] == b.positions[..<(f * 225)]
            && a.confidence[..<(f * 75)] == b.confidence[..<(f * 75)] && a.filled[..<(f * 75)] == b.filled[..<(f * 75)]
    }

    @Test func filter() {
        let filter = OneEuroFilter()
        let a = times.indices.map { noise($0, 3) }
        let b = a.enumerated().map { $0.offset < change ? $0.element : $0.element + 9 }
        let (x, y) = (filter.smoothed(a, times: times), filter.smoothed(b, times: times))
        #expect(x[..<(change - reach)] == y[..<(change - reach)])
        #expect(x[change - reach] != y[change - reach])
    }

    @Test func skeleton() {
        for gaps in [false, true] {
            let (a, b) = tracks(gaps: gaps)
            let (x, y) = (JointTrackSmoothing().applied(to: a), JointTrackSmoothing().applied(to: b))
            #expect(same(x, y, before: change - reach))
            #expect(!same(x, y, before: change))
        }
    }

    @Test func bonesAndPlace() throws {
        var person = SyntheticPerson()
        (person.thigh, person.x) = (0.3, 400)
        let reference = person.track(frames: 1, seed: 1)
        for gaps in [false, true] {
            let (a, b) = tracks(gaps: gaps)
            let results = [a, b].map { track in
                let ratios = BoneRatios(reference: BoneLengths(of: reference), driving: BoneLengths(of: track))
                return BoneRetargeting(ratios: ratios).applied(to: track, reference: reference)
            }
            #expect(same(results[0], results[1], before: change))
        }
        // Legs that come into the picture late change nothing of what was there before.
        var (bust, entering) = (tracks(gaps: false).0, tracks(gaps: false).0)
        for f in times.indices {
            for j in 23...32 {
                bust.confidence[f * 75 + j] = 0
                if f < change { entering.confidence[f * 75 + j] = 0 }
            }
        }
        let ratios = [bust, entering].map { BoneRatios(reference: BoneLengths(of: reference), driving: BoneLengths(of: $0)) }
        #expect(ratios[0].measured == ratios[1].measured && ratios[0].measured.contains(.forearm))
        #expect(ratios[0].relative == ratios[1].relative && ratios[0].scale == ratios[1].scale)
        // Nobody there at first: measured from when there is.
        var empty = tracks(gaps: false).0
        for i in 0..<(30 * 75) { empty.confidence[i] = 0 }
        #expect(BoneLengths(of: empty).lengths.count == BoneGroup.allCases.count)
    }

    @Test func face() throws {
        let rows = times.indices.map { f in [100 + noise(f, 4), 80 + Double(f), 60 + noise(f, 5), 70] }
        func squares(_ late: Float, seen: (Int) -> Bool) throws -> [FaceSquare] {
            let boxes = rows.enumerated().flatMap { f, row in row.map { Float($0) * (f < change ? 1 : late) } }
            return try #require(
                FaceBoxes().squares(boxes: boxes, confidence: times.indices.map { seen($0) ? 0.9 : 0 }, times: times))
        }
        // Lost from before the change on: for good in one clip, for a while in the other.
        let cases: [((Int) -> Bool, (Int) -> Bool)] = [
            ({ _ in true }, { _ in true }), ({ $0 < 38 }, { $0 < 38 || $0 >= change }),
        ]
        for (a, b) in cases {
            let (x, y) = try (squares(1, seen: a), squares(2, seen: b))
            #expect(x[..<(change - reach)] == y[..<(change - reach)])
            #expect(x[..<60] != y[..<60])
        }
    }

    @Test func head() throws {
        let set = try LandmarkSet.named("understudy82")
        func motion(late: Double, lost: Range<Int>) -> HeadMotion {
            HeadTracking(set: set).motion(
                landmarks: { f in
                    var landmarks = [Float](repeating: 0, count: set.count * 3)
                    let rotation = Matrix3.rotation([0.1, 0.02 * Double(f), 0])
                    let scale = 500 * (f < change ? 1 : late)
                    for (i, point) in zip(set.indices, set.canonical) {
                        let p = scale * Matrix3.apply(rotation, SIMD3(Double(point.x), Double(point.y), Double(point.z)))
                        landmarks[3 * i] = Float(p.x + 300 + noise(f * 82 + i, 6))
                        landmarks[3 * i + 1] = Float(p.y + 200 + noise(f * 82 + i, 7))
                        landmarks[3 * i + 2] = Float(p.z)
                    }
                    return landmarks
                }, confidence: times.indices.map { lost.contains($0) ? 0 : 0.9 }, times: times)
        }
        for lost in [0..<0, 42..<45] {
            let (x, y) = (motion(late: 1, lost: lost), motion(late: 2, lost: lost))
            let first = change - reach
            #expect(x.rotations[..<first] == y.rotations[..<first] && x.radii[..<first] == y.radii[..<first])
            #expect(x.centers[..<first] == y.centers[..<first] && x.confidence[..<first] == y.confidence[..<first])
            #expect(x.radii[..<change] != y.radii[..<change])
        }
    }
}
