import Dispatch
import Foundation
import Locking
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
    /// Which part of the clips has speech with sound, 0…1; the others babble without.
    public var speech: Double

    public init(
        seed: UInt64, frames: Int = 25, references: Int = 3, width: Int = 128, height: Int = 128,
        framesPerSecond: Double = 24, faceCrop: Int = 64, framing: ActorFraming = .any,
        speech: Double = 0.5
    ) {
        self.seed = seed
        self.frames = frames
        self.references = references
        self.width = width
        self.height = height
        self.framesPerSecond = framesPerSecond
        self.faceCrop = faceCrop
        self.framing = framing
        self.speech = speech
    }

    /// Everything stored of one clip, row after row.
    struct Clip {
        var bytes: [String: [UInt8]] = [:]
        var floats: [String: [Float]] = [:]
    }

    private var audioCount: Int {
        Int((Double(frames) / framesPerSecond * Double(ActorSpeech.sampleRate)).rounded())
    }

    func clip(_ index: Int) throws -> Clip {
        let clipSeed = ActorRandom.mix(seed &+ UInt64(index) &* 0x9e37_79b9)
        var g = ActorRandom(seed: clipSeed, stream: "dataset")
        let start = g.uniform(0, 60)
        let seconds = Double(frames) / framesPerSecond
        let voice = g.chance(speech)
            ? try ActorSpeech(text: ActorSpeech.sentences(seed: clipSeed, seconds: seconds + 0.5), seed: clipSeed) : nil
        let offset = voice.map { g.uniform(0, max(0, $0.duration - seconds)) } ?? 0
        let stage = try ActorStage(
            personSeed: clipSeed, framing: framing, width: width, height: height, speaking: voice == nil)
        var clip = Clip()
        for f in 0..<frames {
            let time = Double(f) / framesPerSecond
            let frame = try stage.frame(
                at: start + time, visemes: voice?.weights(at: offset + time), faceCrop: faceCrop)
            let t = frame.truth
            clip.bytes["frames", default: []] += frame.rgb
            clip.bytes["face", default: []] += frame.face
            try drawMaps(of: t, into: &clip)
            clip.append(t)
        }
        clip.floats["audio"] =
            voice?.samples(from: offset, seconds: seconds) ?? [Float](repeating: 0, count: audioCount)
        clip.floats["has_audio"] = [voice == nil ? 0 : 1]
        for _ in 0..<references {
            let frame = try stage.frame(at: start + g.uniform(4, 40))
            clip.bytes["references", default: []] += frame.rgb
            try drawMaps(of: frame.truth, into: &clip, prefix: "reference_")
            clip.floats["reference_keypoints", default: []] += frame.truth.keypoints
            clip.floats["reference_confidence", default: []] += frame.truth.confidence
            clip.floats["reference_head_radius", default: []] += [frame.truth.headRadius]
            clip.floats["reference_person_box", default: []] += frame.truth.personBox
        }
        return clip
    }

    /// Skeleton and head sphere maps of one frame, as `pose.maps` and `head.sphere` draw them.
    private func drawMaps(of t: ActorTruth, into clip: inout Clip, prefix: String = "") throws {
        let depth = stride(from: 2, to: t.positions.count, by: 3).map { t.positions[$0] }
        clip.bytes[prefix + "skeleton", default: []] += try SkeletonDrawing().map(
            keypoints: t.keypoints, depth: depth, confidence: t.confidence, width: width, height: height)
        clip.bytes[prefix + "sphere", default: []] += HeadSphereDrawing().map(
            rotation: t.headRotation, centerX: t.headCenter[0], centerY: t.headCenter[1], radius: t.headRadius,
            width: width, height: height)
    }

    /// Writes clips `range` (their numbers, which with the seed name them) as one safetensors file at `path`.
    ///
    /// - Throws: `SafetensorsError` when the file exists or cannot be written.
    public func writeShard(clips range: Range<Int>, to path: String) throws {
        let (temporary, scratch) = (path + ".part", path + ".tensors")
        for leftover in [temporary, scratch] { try? FileManager.default.removeItem(atPath: leftover) }
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        let writer = try SafetensorsWriter(path: temporary, metadata: metadata(first: range.lowerBound), headerCapacity: 8192)
        try write(clips: range, scratch: scratch, to: writer)
        try writer.finish(sync: false)
        try FileManager.default.moveItem(atPath: temporary, toPath: path)
    }

    /// What a shard's metadata says.
    func metadata(first: Int) -> [String: String] {
        [
            "understudy.actor": "1", "seed": "\(seed)", "first_clip": "\(first)", "fps": "\(framesPerSecond)",
            "sample_rate": "\(ActorSpeech.sampleRate)", "landmarks": ActorHead.landmarkNames.joined(separator: ","),
            "expression": ActorExpression.names.joined(separator: ","),
            "visemes": Viseme.allCases.map { "\($0)" }.joined(separator: ","),
        ]
    }

    /// Makes clips, `threads` at a time, and writes their stacked tensors, wide types first.
    ///
    /// - Parameters:
    ///   - scratch: A folder for what is not written yet.
    ///   - progress: Gets how many clips are made; what it throws ends the work.
    func write(
        clips range: Range<Int>, threads: Int = 1, scratch: String, to sink: some TensorSink, progress: (Int) throws -> Void = { _ in }
    ) throws {
        let stack = try ActorClipStack(folder: scratch, tensors: tensors)
        for start in stride(from: range.lowerBound, to: range.upperBound, by: max(1, threads)) {
            let batch = start..<min(start + max(1, threads), range.upperBound)
            let made = Locked<[Int: Result<Clip, any Error>]>([:])
            DispatchQueue.concurrentPerform(iterations: batch.count) { i in
                let clip = Result { try self.clip(batch.lowerBound + i) }
                made.withLock { $0[i] = clip }
            }
            let clips = made.withLock { $0 }
            for i in 0..<batch.count { if let clip = clips[i] { try stack.append(clip.get()) } }
            try progress(batch.upperBound - range.lowerBound)
        }
        try stack.move(to: sink)
    }

    /// The stacked tensors and one clip's part of each; without references, none of theirs.
    private var tensors: [ActorClipStack.Tensor] {
        let (f, r, l) = (frames, references, ActorHead.landmarkNames.count)
        let floats: [(String, [Int])] = [
            ("keypoints", [f, 75, 2]), ("positions", [f, 75, 3]), ("confidence", [f, 75]),
            ("head_rotation", [f, 3, 3]), ("head_center", [f, 2]), ("head_radius", [f]),
            ("face_box", [f, 4]), ("landmarks", [f, l, 3]), ("face_confidence", [f]),
            ("person_box", [f, 4]), ("expression", [f, ActorExpression.names.count]),
            ("visemes", [f, Viseme.allCases.count]), ("audio", [audioCount]), ("has_audio", []),
            ("reference_keypoints", [r, 75, 2]), ("reference_confidence", [r, 75]),
            ("reference_head_radius", [r]), ("reference_person_box", [r, 4]),
        ]
        let pictures: [(String, [Int])] = [
            ("frames", [f, height, width, 3]), ("references", [r, height, width, 3]),
            ("skeleton", [f, height, width, 3]), ("sphere", [f, height, width, 3]),
            ("reference_skeleton", [r, height, width, 3]), ("reference_sphere", [r, height, width, 3]),
            ("face", [f, faceCrop, faceCrop, 3]),
        ]
        let all: [ActorClipStack.Tensor] =
            floats.map { .init(name: $0.0, dtype: .f32, elementShape: $0.1) }
            + pictures.map { .init(name: $0.0, dtype: .u8, elementShape: $0.1) }
        return all.filter { !$0.elementShape.contains(0) }
    }
}

extension ActorDatasetWriter.Clip {
    mutating func append(_ t: ActorTruth) {
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
