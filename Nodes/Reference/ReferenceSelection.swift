import Foundation

/// Picks frames that show what one photo does not: diverse views of the same person (METHOD §1, pseudo-references).
enum ReferenceSelection {
    /// Frames at evenly spaced quantiles of head yaw: with three, the smallest, the median and the largest.
    ///
    /// - Parameters:
    ///   - yaw: Radians per frame.
    ///   - confidence: 0…1 per frame; frames below `threshold` are not considered, unless all are.
    /// - Returns: Distinct frame indices, at most `count`, in order of yaw.
    static func byYaw(_ yaw: [Double], confidence: [Float], threshold: Float, count: Int) -> [Int] {
        var candidates = yaw.indices.filter { confidence[$0] >= threshold && yaw[$0].isFinite }
        if candidates.isEmpty { candidates = yaw.indices.filter { yaw[$0].isFinite } }
        guard !candidates.isEmpty, count > 0 else { return [] }
        let sorted = candidates.sorted { (yaw[$0], $0) < (yaw[$1], $1) }
        let wanted = min(count, sorted.count)
        if wanted == 1 { return [sorted[sorted.count / 2]] }
        return (0..<wanted).map { index in
            sorted[Int((Double(index) * Double(sorted.count - 1) / Double(wanted - 1)).rounded())]
        }
    }

    /// Frames whose 2D poses are farthest from one another, starting from the one nearest to the mean pose.
    ///
    /// - Parameters:
    ///   - poses: Per frame, joint positions in pixels.
    ///   - confidence: Per frame and joint, 0…1; joints below `threshold` are left out of a comparison.
    ///   - hips: The joints between which the origin lies.
    /// - Returns: Distinct frame indices, at most `count`, in order of choice.
    static func byPose(
        _ poses: [[SIMD2<Float>]], confidence: [[Float]], threshold: Float, hips: (Int, Int), count: Int
    ) -> [Int] {
        guard let joints = poses.first?.count, count > 0 else { return [] }
        let centred = poses.map { pose in
            let origin = (pose[hips.0] + pose[hips.1]) / 2
            return pose.map { $0 - origin }
        }
        var mean = [SIMD2<Float>](repeating: .zero, count: joints)
        var weight = [Float](repeating: 0, count: joints)
        for (frame, pose) in centred.enumerated() {
            for joint in 0..<joints where confidence[frame][joint] >= threshold {
                mean[joint] += pose[joint]
                weight[joint] += 1
            }
        }
        for joint in 0..<joints where weight[joint] > 0 { mean[joint] /= weight[joint] }
        let always = [Float](repeating: 1, count: joints)
        // Nil when too few joints are seen in both to say anything.
        func distance(_ a: [SIMD2<Float>], _ ca: [Float], _ b: [SIMD2<Float>], _ cb: [Float]) -> Float? {
            var sum: Float = 0
            var seen = 0
            for joint in 0..<joints where ca[joint] >= threshold && cb[joint] >= threshold {
                let d = a[joint] - b[joint]
                sum += (d * d).sum()
                seen += 1
            }
            return seen >= 4 && sum.isFinite ? (sum / Float(seen)).squareRoot() : nil
        }
        let candidates = centred.indices.filter { distance(centred[$0], confidence[$0], mean, always) != nil }
        guard
            let first = candidates.min(by: {
                (distance(centred[$0], confidence[$0], mean, always) ?? .infinity, $0)
                    < (distance(centred[$1], confidence[$1], mean, always) ?? .infinity, $1)
            })
        else { return [] }
        var chosen = [first]
        var nearest = [Int: Float](uniqueKeysWithValues: candidates.map { ($0, Float.infinity) })
        while chosen.count < min(count, candidates.count), let last = chosen.last {
            for frame in candidates {
                let d = distance(centred[frame], confidence[frame], centred[last], confidence[last]) ?? 0
                nearest[frame] = min(nearest[frame] ?? 0, d)
            }
            guard
                let next = candidates.filter({ !chosen.contains($0) })
                    .max(by: { (nearest[$0] ?? 0, -$0) < (nearest[$1] ?? 0, -$1) })
            else { break }
            chosen.append(next)
        }
        return chosen
    }

    /// Head yaw in radians of a head→camera rotation, row by row.
    static func yaw(_ rotation: [Float]) -> Double {
        atan2(Double(rotation[2]), Double(rotation[8]))
    }
}
