import Foundation

/// By what factor each kind of bone must change for the driving person to have the reference's proportions.
public struct BoneRatios: Sendable {
    /// How much larger the reference person is in pixels, all bones together.
    public let scale: Double
    /// Per kind of bone, relative to ``scale``: 1 means the same proportion.
    public let relative: [BoneGroup: Double]
    /// The kinds that were measured in both; the others took their neighbours' ratio.
    public let measured: Set<BoneGroup>
    /// Relative change for metres (differs from pixels when both tracks have 3D).
    public let metricScale: Double

    /// - Parameters:
    ///   - bound: Ratios outside 1/bound…bound are taken for mismeasured and replaced by their neighbours'.
    ///   - canvasScale: What to take for the scale when no bone is seen in both.
    public init(reference: BoneLengths, driving: BoneLengths, bound: Double = 1.8, canvasScale: Double = 1) {
        var pixels: [BoneGroup: Double] = [:]
        for group in BoneGroup.allCases {
            guard let a = reference.lengths[group], let b = driving.lengths[group], b > 0 else { continue }
            pixels[group] = a / b
        }
        func median(_ groups: [BoneGroup]) -> Double? {
            BoneLengths.weightedMedian(groups.compactMap { group in
                pixels[group].map { ($0, driving.lengths[group] ?? 0) }
            })
        }
        let scale = median(BoneGroup.allCases.filter(\.tellsSize)) ?? median(BoneGroup.allCases) ?? canvasScale
        var known: [BoneGroup: Double] = [:]
        for (group, ratio) in pixels where (1 / bound...bound).contains(ratio / scale) { known[group] = ratio / scale }
        if let hand = known[.hand] {
            // Hands are small, blurred and turn fast: half of what they differ from the arm is believed.
            let arm = known[.forearm] ?? known[.upperArm] ?? 1
            known[.hand] = arm * max(1 / 1.25, min(1.25, (hand / arm).squareRoot()))
        }
        measured = Set(known.keys)
        // Outwards from what is known: each round, the unknown next to known ones take the mean of their logarithms.
        while known.count < BoneGroup.allCases.count {
            var round: [BoneGroup: Double] = [:]
            for group in BoneGroup.allCases where known[group] == nil {
                let near = group.neighbours.compactMap { known[$0] }
                if !near.isEmpty { round[group] = exp(near.reduce(0) { $0 + log($1) } / Double(near.count)) }
            }
            if round.isEmpty { for group in BoneGroup.allCases where known[group] == nil { round[group] = 1 } }
            known.merge(round) { old, _ in old }
        }
        self.scale = scale
        relative = known
        if let a = reference.pixelsPerMetre, let b = driving.pixelsPerMetre, a > 0 {
            metricScale = scale * b / a
        } else {
            metricScale = 1
        }
    }

    /// The factor for a bone in pixels.
    public func pixels(_ group: BoneGroup) -> Double { scale * (relative[group] ?? 1) }

    /// The factor for a bone in metres.
    public func metres(_ group: BoneGroup) -> Double { metricScale * (relative[group] ?? 1) }
}

extension BoneRatios {
    /// These proportions at the size of another measurement.
    public func scaled(like other: BoneRatios) -> BoneRatios {
        BoneRatios(scale: other.scale, relative: relative, measured: measured, metricScale: other.metricScale)
    }

    private init(scale: Double, relative: [BoneGroup: Double], measured: Set<BoneGroup>, metricScale: Double) {
        self.scale = scale
        self.relative = relative
        self.measured = measured
        self.metricScale = metricScale
    }
}
