import Foundation
import Perception
import Safetensors

/// Writes shards of clips for training.
public struct ActorDatasetWriter: Sendable {
    public var seed: UInt64
    public var frames: Int
    public var references: Int
    public var width: Int
    public var height: Int
    public var framesPerSecond: Double
    public var faceCrop: Int
    public var framing: ActorFraming

    public init(
        seed: UInt64, frames: Int = 25, references: Int = 3, width: Int = 128, height: Int = 128,
        framesPerSecond: Double = 24, faceCrop: Int = 64, framing: ActorFraming = .any
    ) {
        self.seed = seed
        self.frames = frames
        self.references = references
        self.width = width
        self.height = height
        self.framesPerSecond = framesPerSecond
        self.faceCrop = faceCrop
        self.framing = framing
    }

    /// Everything stored of one clip, row after row.
    struct Clip {
        var bytes: [String: [UInt8]] = [:]
        var floats: [String: [Float]] = [:]
    }

    func clip(_ index: Int) throws -> Clip {
        let clipSeed = ActorRandom.mix(seed &+ UInt64(index) &* 0x9e37_79b9)
        let stage = try ActorStage(personSeed: clipSeed, framing: framing, width: width, height: height)
        var g = ActorRandom(seed: clipSeed, stream: "dataset")
        let start = g.uniform(0, 60)
        let skeleton = SkeletonDrawing()
        let sphere = HeadSphereDrawing()
        var clip = Clip()
        for f in 0..<frames {
            let frame = try stage.frame(at: start + Double(f) / framesPerSecond, faceCrop: faceCrop)
            let t = frame.truth
            clip.bytes["frames", default: []] += frame.rgb
            clip.bytes["face", default: []] += frame.face
            let depth = stride(from: 2, to: t.positions.count, by: 3).map { t.positions[$0] }
            clip.bytes["skeleton", default: []] += try skeleton.map(
                keypoints: t.keypoints, depth: depth, confidence: t.confidence, width: width, height: height)
            clip.bytes["sphere", default: []] += sphere.map(
                rotation: t.headRotation, centerX: t.headCenter[0], centerY: t.headCenter[1], radius: t.headRadius,
                width: width, height: height)
            clip.append(t, prefix: "")
        }
        for _ in 0..<references {
            let frame = try stage.frame(at: start + g.uniform(4, 40))
            clip.bytes["references", default: []] += frame.rgb
            clip.floats["reference_keypoints", default: []] += frame.truth.keypoints
            clip.floats["reference_confidence", default: []] += frame.truth.confidence
            clip.floats["reference_head_radius", default: []] += [frame.truth.headRadius]
            clip.floats["reference_person_box", default: []] += frame.truth.personBox
        }
        return clip
    }

    /// Writes clips `range` (their numbers, which with the seed name them) as one safetensors file at `path`.
    ///
    /// - Throws: `SafetensorsError` when the file exists or cannot be written.
    public func writeShard(clips range: Range<Int>, to path: String) throws {
        let temporary = path + ".part"
        try? FileManager.default.removeItem(atPath: temporary)
        let clips = try range.map { try clip($0) }
        let (n, f, l) = (clips.count, frames, ActorHead.landmarkNames.count)
        let writer = try SafetensorsWriter(
            path: temporary,
            metadata: [
                "understudy.actor": "1", "seed": "\(seed)", "first_clip": "\(range.lowerBound)",
                "fps": "\(framesPerSecond)", "landmarks": ActorHead.landmarkNames.joined(separator: ","),
                "expression": ActorExpression.names.joined(separator: ","),
                "visemes": Viseme.allCases.map { "\($0)" }.joined(separator: ","),
            ], headerCapacity: 8192)
        let floats: [(String, [Int])] = [
            ("keypoints", [n, f, 75, 2]), ("positions", [n, f, 75, 3]), ("confidence", [n, f, 75]),
            ("head_rotation", [n, f, 3, 3]), ("head_center", [n, f, 2]), ("head_radius", [n, f]),
            ("face_box", [n, f, 4]), ("landmarks", [n, f, l, 3]), ("face_confidence", [n, f]),
            ("person_box", [n, f, 4]), ("expression", [n, f, ActorExpression.names.count]),
            ("visemes", [n, f, Viseme.allCases.count]),
            ("reference_keypoints", [n, references, 75, 2]), ("reference_confidence", [n, references, 75]),
            ("reference_head_radius", [n, references]), ("reference_person_box", [n, references, 4]),
        ]
        for (name, shape) in floats {
            try writer.write(name, clips.flatMap { $0.floats[name] ?? [] }, shape: shape)
        }
        let bytes: [(String, [Int])] = [
            ("frames", [f, height, width, 3]), ("references", [references, height, width, 3]),
            ("skeleton", [f, height, width, 3]), ("sphere", [f, height, width, 3]),
            ("face", [f, faceCrop, faceCrop, 3]),
        ]
        for (name, shape) in bytes {
            writer.begin(name, dtype: .u8, elementShape: shape)
            for clip in clips { try writer.append(clip.bytes[name] ?? []) }
        }
        try writer.finish(sync: false)
        try FileManager.default.moveItem(atPath: temporary, toPath: path)
    }
}

extension ActorDatasetWriter.Clip {
    mutating func append(_ t: ActorTruth, prefix: String) {
        floats["keypoints", default: []] += t.keypoints
        floats["positions", default: []] += t.positions
        floats["confidence", default: []] += t.confidence
        floats["head_rotation", default: []] += t.headRotation
        floats["head_center", default: []] += t.headCenter
        floats["head_radius", default: []] += [t.headRadius]
        floats["face_box", default: []] += t.faceBox
        floats["landmarks", default: []] += t.landmarks
        floats["face_confidence", default: []] += [t.faceConfidence]
        floats["person_box", default: []] += t.personBox
        floats["expression", default: []] += t.expression
        floats["visemes", default: []] += t.visemes
    }
}
