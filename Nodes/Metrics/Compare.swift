import NodeKit

/// Compares a film with ground truth, frame by frame.
public struct MetricsCompare: Node {
    public static let type: NodeType = "metrics.compare"
    public static let version = 1
    public static let summary = "Measures PSNR and SSIM of a film against ground truth, per frame and on average."

    @Input("The film to judge.") var video: Video
    @Input("What it should look like, same size and number of frames.") var truth: Video
    @Input("Where the person is, in the truth: gives PSNR inside the person's box.") var pose: PoseTrack?
    @Parameter("Room around the skeleton for the person's box, as a part of the box's longer side.", in: 0...1) var margin = 0.1
    @Output("The mean first, then one row per frame: psnr (dB), ssim, person_psnr (dB).") var table: Table

    public init() {}

    public func run(in context: NodeContext) throws {
        guard video.count == truth.count, video.width == truth.width, video.height == truth.height else {
            throw NodeError(
                "the film is \(video.count) frames of \(video.width)×\(video.height), the truth \(truth.count) of "
                    + "\(truth.width)×\(truth.height); decode both to the same size, rate and range")
        }
        if let pose, pose.count != video.count {
            throw NodeError("the skeleton has \(pose.count) frames, the film \(video.count)")
        }
        var rows: [(label: String, values: [Double])] = []
        for frame in 0..<video.count {
            try context.checkCancelled()
            let (a, b) = (video.frame(frame), truth.frame(frame))
            let box = pose.flatMap { personBox($0, frame: frame) }
            rows.append(
                ("\(frame)",
                    [
                        ImageQuality.psnr(a, b, width: video.width), ImageQuality.ssim(a, b, width: video.width),
                        box.map { ImageQuality.psnr(a, b, width: video.width, region: $0) } ?? .nan,
                    ]))
            context.progress(frame + 1, of: video.count)
        }
        let means = (0..<3).map { column in
            let values = rows.map { $0.values[column] }.filter(\.isFinite)
            return values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count)
        }
        try $table.set(
            Table(
                columns: [.init("psnr", unit: "dB"), .init("ssim"), .init("person_psnr", unit: "dB")],
                rows: [("mean", means)] + rows))
    }

    /// The box of the joints seen in a frame, with room around it, in pixels of the film; nil when too few are seen.
    private func personBox(_ pose: PoseTrack, frame: Int) -> (x: Range<Int>, y: Range<Int>)? {
        let (sx, sy) = (Float(video.width) / Float(max(pose.width, 1)), Float(video.height) / Float(max(pose.height, 1)))
        var (x, y): ([Float], [Float]) = ([], [])
        for joint in 0..<PoseTrack.jointCount where pose.confidence[frame * PoseTrack.jointCount + joint] >= 0.3 {
            let base = (frame * PoseTrack.jointCount + joint) * 2
            guard pose.keypoints[base].isFinite, pose.keypoints[base + 1].isFinite else { continue }
            x.append(pose.keypoints[base] * sx)
            y.append(pose.keypoints[base + 1] * sy)
        }
        guard x.count >= 3, let left = x.min(), let right = x.max(), let top = y.min(), let bottom = y.max() else { return nil }
        let room = Float(margin) * max(right - left, bottom - top)
        func span(_ low: Float, _ high: Float, _ limit: Int) -> Range<Int> {
            let from = Int(max(0, min(Float(limit), low - room)))
            return from..<max(from, Int(max(0, min(Float(limit), high + room))))
        }
        let box = (x: span(left, right, video.width), y: span(top, bottom, video.height))
        return box.x.isEmpty || box.y.isEmpty ? nil : box
    }
}
