import Foundation
import NodeKit

/// Chooses pseudo-references: frames of a clip of the same person, or of a first pass, that show diverse views.
public struct ReferenceSelect: Node {
    public static let type: NodeType = "reference.select"
    public static let version = 1
    public static let summary = "Chooses frames with diverse views of a person, by head yaw or by 2D pose; cuts a half body out of full-body clips."

    /// What diversity is measured by.
    public enum Measure: String, ParameterChoice {
        case yaw, pose
    }

    @Input("The clip: the same person as the reference, or a first pass.") var video: Video
    @Input("Its head track; needed with by: yaw.") var head: HeadTrack?
    @Input("Its skeleton; needed with by: pose and for halfBody.") var pose: PoseTrack?
    @Parameter("By head yaw (smallest, median, largest, …) or by 2D pose (farthest from one another).")
    var by = Measure.yaw
    @Parameter("How many frames; with yaw, 3 gives the smallest, the median and the largest.", in: 1...16) var count = 3
    @Parameter("Adds the upper half of the body, enlarged, where a frame shows the person from head to foot.") var halfBody = false
    @Parameter("Size of the frames, padded with black; not set: the clip's.") var size: PixelSize? = nil
    @Parameter("Heads and joints below this confidence are left out.", in: 0...1) var confidence = 0.5
    @Output("The chosen frames, in order of time; the half body comes last, after the clip's end.") var frames: Video
    @Output("Frame, time and head yaw of each.") var table: Table

    public init() {}

    public func run(in context: NodeContext) throws {
        let chosen = try choose()
        guard !chosen.isEmpty else {
            throw NodeError("no frame shows the person with a confidence of \(confidence) or more; lower 'confidence'")
        }
        var sorted = chosen.sorted { $0.frame < $1.frame }
        let timeline = video.timeline
        let canvas = Canvas(width: size?.width ?? video.width, height: size?.height ?? video.height)
        let half = try chooseHalfBody(canvas)
        if halfBody, half == nil { context.log("no frame shows the person from head to foot: there is no half body to cut out") }
        func drawing(_ frame: Int, cut: HalfBody.Box? = nil) -> [UInt8] {
            canvas.drawing(video.frame(frame), width: video.width, height: video.height, cut: cut)
        }
        try $frames.write(width: canvas.width, height: canvas.height, timeBase: timeline.timeBase) { writer in
            for choice in sorted { try writer.append(drawing(choice.frame), at: timeline.timestamps[choice.frame]) }
            if let half {
                try writer.append(drawing(half.frame, cut: half.box), at: timeline.end)
                return timeline.end + max(1, timeline.end - (timeline.timestamps.last ?? 0))
            }
            let last = sorted[sorted.count - 1].frame
            return last + 1 < timeline.count ? timeline.timestamps[last + 1] : timeline.end
        }
        if let half { sorted.append((half.frame, "half body")) }
        let rows = sorted.map { choice -> (label: String, values: [Double]) in
            let yaw = head.map { track in
                ReferenceSelection.yaw(Array(track.rotation[(choice.frame * 9)..<(choice.frame * 9 + 9)])) * 180 / .pi
            }
            return (choice.label, [Double(choice.frame), timeline.seconds(choice.frame), yaw ?? .nan])
        }
        try $table.set(
            Table(columns: [.init("frame"), .init("time", unit: "s"), .init("yaw", unit: "°")], rows: rows))
    }

    private func chooseHalfBody(_ canvas: Canvas) throws -> (frame: Int, box: HalfBody.Box)? {
        guard halfBody else { return nil }
        guard let pose else { throw NodeError("halfBody needs the input 'pose'; wire skeleton.track") }
        let threshold = Float(confidence)
        guard let frame = HalfBody.frame(pose, threshold: threshold) else { return nil }
        let aspect = Double(canvas.width) / Double(canvas.height)
        let picture = (width: video.width, height: video.height)
        return (frame, HalfBody.box(pose, frame: frame, threshold: threshold, picture: picture, aspect: aspect))
    }

    private func choose() throws -> [(frame: Int, label: String)] {
        for (frames, port) in [(head?.count, "head"), (pose?.count, "pose")] {
            guard frames ?? video.count == video.count else {
                throw NodeError("'\(port)' has \(frames ?? 0) frames, the video \(video.count); track the same clip")
            }
        }
        switch by {
        case .yaw:
            guard let head else { throw NodeError("by: yaw needs the input 'head'; wire head.track, or set by: pose") }
            let yaw = (0..<head.count).map { ReferenceSelection.yaw(Array(head.rotation[($0 * 9)..<($0 * 9 + 9)])) }
            let frames = ReferenceSelection.byYaw(
                yaw, confidence: head.confidence, threshold: Float(confidence), count: count)
            return frames.enumerated().map { index, frame in
                let label =
                    switch (index, frames.count) {
                    case (_, 1): "median yaw"
                    case (0, _): "smallest yaw"
                    case (frames.count - 1, _): "largest yaw"
                    case (frames.count / 2, _) where frames.count % 2 == 1: "median yaw"
                    default: "yaw \(index + 1) of \(frames.count)"
                    }
                return (frame, label)
            }
        case .pose:
            guard let pose else {
                throw NodeError("by: pose needs the input 'pose'; wire skeleton.track, or set by: yaw")
            }
            // The body's 33 joints; hands move too much to tell views apart.
            let joints = 33
            let all = PoseTrack.jointCount
            let poses = (0..<pose.count).map { frame in
                (0..<joints).map { joint in
                    let base = (frame * all + joint) * 2
                    return SIMD2(pose.keypoints[base], pose.keypoints[base + 1])
                }
            }
            let seen = (0..<pose.count).map { Array(pose.confidence[($0 * all)..<($0 * all + joints)]) }
            let frames = ReferenceSelection.byPose(
                poses, confidence: seen, threshold: Float(confidence), hips: (23, 24), count: count)
            return frames.enumerated().map { ($0.element, $0.offset == 0 ? "mean pose" : "pose \($0.offset + 1)") }
        }
    }
}
