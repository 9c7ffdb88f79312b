import Foundation
import NodeKit

/// Chooses pseudo-references: frames of a clip of the same person, or of a first pass, that show diverse views.
public struct ReferenceSelect: Node {
    public static let type: NodeType = "reference.select"
    public static let version = 1
    public static let summary = "Chooses frames with diverse views of a person, by head yaw or by 2D pose."

    /// What diversity is measured by.
    public enum Measure: String, ParameterChoice {
        case yaw, pose
    }

    @Input("The clip: the same person as the reference, or a first pass.") var video: Video
    @Input("Its head track; needed with by: yaw.") var head: HeadTrack?
    @Input("Its skeleton; needed with by: pose.") var pose: PoseTrack?
    @Parameter("By head yaw (smallest, median, largest, …) or by 2D pose (farthest from one another).")
    var by = Measure.yaw
    @Parameter("How many frames; with yaw, 3 gives the smallest, the median and the largest.", in: 1...16) var count = 3
    @Parameter("Heads and joints below this confidence are left out.", in: 0...1) var confidence = 0.5
    @Output("The chosen frames, in order of time.") var frames: Video
    @Output("Frame, time and head yaw of each.") var table: Table

    public init() {}

    public func run(in context: NodeContext) throws {
        let chosen = try choose()
        guard !chosen.isEmpty else {
            throw NodeError("no frame shows the person with a confidence of \(confidence) or more; lower 'confidence'")
        }
        let sorted = chosen.sorted { $0.frame < $1.frame }
        let timeline = video.timeline
        try $frames.write(width: video.width, height: video.height, timeBase: timeline.timeBase) { writer in
            for choice in sorted { try writer.append(video.frame(choice.frame), at: timeline.timestamps[choice.frame]) }
            let last = sorted[sorted.count - 1].frame
            return last + 1 < timeline.count ? timeline.timestamps[last + 1] : timeline.end
        }
        let rows = sorted.map { choice -> (label: String, values: [Double]) in
            let yaw = head.map { track in
                ReferenceSelection.yaw(Array(track.rotation[(choice.frame * 9)..<(choice.frame * 9 + 9)])) * 180 / .pi
            }
            return (choice.label, [Double(choice.frame), timeline.seconds(choice.frame), yaw ?? .nan])
        }
        try $table.set(
            Table(columns: [.init("frame"), .init("time", unit: "s"), .init("yaw", unit: "°")], rows: rows))
    }

    private func choose() throws -> [(frame: Int, label: String)] {
        func check(_ frames: Int, _ port: String) throws {
            guard frames == video.count else {
                throw NodeError("'\(port)' has \(frames) frames, the video \(video.count); track the same clip")
            }
        }
        switch by {
        case .yaw:
            guard let head else { throw NodeError("by: yaw needs the input 'head'; wire head.track, or set by: pose") }
            try check(head.count, "head")
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
            try check(pose.count, "pose")
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
