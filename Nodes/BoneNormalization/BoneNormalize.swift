import NodeKit
import Perception
import PerceptionValues

/// Gives the driving skeleton the reference person's proportions.
public struct BoneNormalize: Node {
    public static let type: NodeType = "bone.normalize"
    public static let version = 2
    public static let summary = "Gives the driving skeleton the bone lengths, size and place of the reference person."

    @Input("The driving skeleton.") var driving: PoseTrack
    @Input("The reference person's skeleton: one picture or a clip.") var reference: PoseTrack
    @Input("The driving person in a plain standing pose, if there is such a picture: measured instead of `driving`.")
    var canonicalDriving: PoseTrack?
    @Input("The reference person in a plain standing pose: measured instead of `reference`.")
    var canonicalReference: PoseTrack?
    @Parameter("Joints below this confidence are not measured.", in: 0...1) var confidence = 0.5
    @Parameter("Ratios beyond 1/bound…bound are taken for errors and replaced by the neighbouring bones'.", in: 1...4)
    var bound = 1.8
    @Parameter(
        "Frames from the start over which bones and place are measured, more where they show nobody; 0: the whole clip.",
        in: 0...1_000_000)
    var measure = 24
    @Output("The driving skeleton on the reference's canvas, with its proportions.") var pose: PoseTrack
    @Output("Ratio and both lengths of every kind of bone.") var ratios: Table

    public init() {}

    public func run(in context: NodeContext) throws {
        let drivingTrack = try JointTrack(driving)
        let referenceTrack = try JointTrack(reference)
        let threshold = Float(confidence)
        let window = MeasuringWindow(frames: measure)
        func lengths(_ track: JointTrack) -> BoneLengths {
            BoneLengths(of: track, confidenceThreshold: threshold, window: window)
        }
        let drivingLengths = lengths(try canonicalDriving.map { try JointTrack($0) } ?? drivingTrack)
        let referenceLengths = lengths(try canonicalReference.map { try JointTrack($0) } ?? referenceTrack)
        let fit = CanvasFit(from: driving.width, driving.height, to: reference.width, reference.height)
        var ratios = BoneRatios(
            reference: referenceLengths, driving: drivingLengths, bound: bound, canvasScale: Double(fit.scale))
        if canonicalDriving != nil || canonicalReference != nil {
            // Canonical pictures tell proportions; how large the persons are in the frame only their own footage does.
            let own = BoneRatios(
                reference: canonicalReference == nil ? referenceLengths : lengths(referenceTrack),
                driving: canonicalDriving == nil ? drivingLengths : lengths(drivingTrack),
                bound: bound, canvasScale: Double(fit.scale))
            ratios = ratios.scaled(like: own)
        }
        if ratios.measured.isEmpty {
            context.log("no bone is seen in both skeletons: proportions are left as they are")
        }
        let retargeting = BoneRetargeting(ratios: ratios, confidenceThreshold: threshold, window: window)
        let result = retargeting.applied(to: drivingTrack, reference: referenceTrack)
        try $pose.set(PoseTrack(result, timeline: driving.timeline))
        try $ratios.set(table(ratios, driving: drivingLengths, reference: referenceLengths))
    }

    private func table(_ ratios: BoneRatios, driving: BoneLengths, reference: BoneLengths) -> Table {
        var rows: [(label: String, values: [Double])] = BoneGroup.allCases.map { group in
            (
                group.rawValue,
                [
                    ratios.relative[group] ?? 1, ratios.pixels(group), driving.lengths[group] ?? .nan,
                    reference.lengths[group] ?? .nan, Double(driving.samples[group] ?? 0),
                    Double(reference.samples[group] ?? 0), ratios.measured.contains(group) ? 1 : 0,
                ]
            )
        }
        rows.append(("whole body", [1, ratios.scale, .nan, .nan, .nan, .nan, ratios.measured.isEmpty ? 0 : 1]))
        return Table(
            columns: [
                .init("ratio"), .init("pixel ratio"), .init("driving length", unit: "pixels"),
                .init("reference length", unit: "pixels"), .init("driving samples"), .init("reference samples"),
                .init("measured"),
            ], rows: rows)
    }
}
