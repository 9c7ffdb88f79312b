import Foundation
import NodeKit

/// Films a made-up person, with everything about the performance known exactly.
public struct ActorClip: Node {
    public static let type: NodeType = "actor.clip"
    public static let version = 1
    public static let summary = "Films a procedural actor: pictures, sound, and the exact pose, face, head and expression."

    /// What the actor says.
    public enum Speech: String, ParameterChoice {
        /// Silent lips and no sound.
        case none
        /// Random sentences, as long as the clip.
        case random
        /// The parameter `text`.
        case text
    }

    /// How much of the person is seen.
    public enum Framing: String, ParameterChoice {
        case any, head, half, full
    }

    @Parameter("Names the person's looks.", in: 0...1e15) var person = 1
    @Parameter("Names the performance; not set: the person's own.", in: 0...1e15) var motion: Int? = nil
    @Parameter("Names light, backdrop and camera; not set: the person's own.", in: 0...1e15) var scene: Int? = nil
    @Parameter("How many frames.", in: 1...100_000) var frames = 49
    @Parameter("Frames per second.") var fps = Rational(24)
    @Parameter("Size of the picture.", in: 16...4096) var size = PixelSize(128, 128)
    @Parameter("How much of the person is seen; any: one of them, by the scene.") var framing = Framing.any
    @Parameter("What the actor says.") var speech = Speech.none
    @Parameter("The words, for 'speech: text'; English.") var text = ""
    @Parameter("Where in the performance the clip begins, in seconds.", in: 0...1e6) var start: Double = 0
    @Parameter("Where in the performance the reference picture is taken, in seconds.", in: 0...1e6) var pose: Double = 60
    @Output("The frames.") var video: Video
    @Output("The sound at 16 kHz; silence without speech.") var audio: Audio
    @Output("The joints.") var skeleton: PoseTrack
    @Output("Face boxes and landmarks, set 'understudy-actor'.") var faces: FaceTrack
    @Output("The head.") var head: HeadTrack
    @Output("The same person in the same scene, in another pose.") var reference: Image
    @Output("The reference picture's joints.") var referencePose: PoseTrack
    @Output("The reference picture's head.") var referenceHead: HeadTrack
    @Output("Expression parameters and mouth shape weights, a row per frame.") var expression: Table

    public init() {}

    public func run(in context: NodeContext) throws {
        guard fps.numerator > 0, let timeBase = fps.inverse else {
            throw NodeError("fps is \(fps); frames per second must be more than 0")
        }
        let seconds = Double(frames) / fps.value
        let voice = try spoken(seconds: seconds)
        let stage = try ActorStage(
            personSeed: UInt64(person), motionSeed: motion.map { UInt64($0) }, sceneSeed: scene.map { UInt64($0) },
            framing: ActorFraming(rawValue: framing.rawValue) ?? .any, width: size.width, height: size.height,
            speaking: false)
        let silent = [1.0] + [Double](repeating: 0, count: Viseme.allCases.count - 1)
        var truths: [ActorTruth] = []
        try $video.write(width: size.width, height: size.height, timeBase: timeBase) { output in
            for f in 0..<frames {
                try context.checkCancelled()
                let time = Double(f) / fps.value
                let frame = try stage.frame(at: start + time, visemes: voice?.weights(at: time) ?? silent)
                try output.append(frame.rgb, at: Int64(f))
                truths.append(frame.truth)
                context.progress(f + 1, of: frames)
            }
            return Int64(frames)
        }
        let timeline = Timeline(rate: fps, count: frames)
        let still = try stage.frame(at: start + pose, visemes: silent)
        try $audio.set(
            Audio(
                sampleRate: ActorSpeech.sampleRate,
                samples: voice?.samples(from: 0, seconds: seconds)
                    ?? [Float](repeating: 0, count: Int((seconds * Double(ActorSpeech.sampleRate)).rounded())),
                frameTimes: timeline))
        try $skeleton.set(poseTrack(truths, timeline))
        try $head.set(headTrack(truths, timeline))
        try $faces.set(
            FaceTrack(
                timeline: timeline, width: size.width, height: size.height, landmarkSet: "understudy-actor",
                landmarkCount: ActorHead.landmarkNames.count, boxes: truths.flatMap(\.faceBox),
                landmarks: truths.flatMap(\.landmarks), confidence: truths.map(\.faceConfidence)))
        try $reference.set(Image(width: size.width, height: size.height, pixels: still.rgb))
        let instant = Timeline(rate: fps, count: 1)
        try $referencePose.set(poseTrack([still.truth], instant))
        try $referenceHead.set(headTrack([still.truth], instant))
        let columns =
            ActorExpression.names.map { Table.Column($0) } + Viseme.allCases.map { Table.Column("viseme_\($0)") }
        try $expression.set(
            Table(
                columns: columns,
                rows: truths.enumerated().map { ("\($0)", ($1.expression + $1.visemes).map { Double($0) }) }))
    }

    private func spoken(seconds: Double) throws -> ActorSpeech? {
        let seed = UInt64(motion ?? person)
        switch speech {
        case .none: return nil
        case .random: return try ActorSpeech(text: ActorSpeech.sentences(seed: seed, seconds: seconds), seed: seed)
        case .text:
            guard !text.isEmpty else { throw NodeError("'speech: text' wants words in 'text'") }
            return try ActorSpeech(text: text, seed: seed)
        }
    }

    private func poseTrack(_ truths: [ActorTruth], _ timeline: Timeline) -> PoseTrack {
        PoseTrack(
            timeline: timeline, width: size.width, height: size.height, keypoints: truths.flatMap(\.keypoints),
            positions: truths.flatMap(\.positions), confidence: truths.flatMap(\.confidence),
            filled: [UInt8](repeating: 0, count: truths.count * 75))
    }

    private func headTrack(_ truths: [ActorTruth], _ timeline: Timeline) -> HeadTrack {
        HeadTrack(
            timeline: timeline, width: size.width, height: size.height, rotation: truths.flatMap(\.headRotation),
            center: truths.flatMap(\.headCenter), radius: truths.map(\.headRadius),
            confidence: [Float](repeating: 1, count: truths.count))
    }
}
