import Foundation
import Media
import NodeKit
import WholeFiles

/// Writes a cached value in a form that other programs open, chosen by the file name's extension.
public enum Export {
    /// The extensions that an artifact of a type can be written as.
    public static func extensions(for type: PortType) -> [String] {
        switch type {
        case .video, .maps: ["safetensors", "mp4", "png", "csv"]
        case .audio: ["safetensors", "wav", "png", "csv"]
        case .table: ["safetensors", "csv", "json"]
        case .image, .latent, .poseFeatures, .reference: ["safetensors", "png"]
        case .segments: ["safetensors", "csv", "json"]
        case .file: ["any"]
        case .model, .tensor: ["safetensors"]
        default: ["safetensors", "png", "csv"]
        }
    }

    /// Writes the artifact; what was at the path is replaced once the new file is whole.
    ///
    /// - Parameters:
    ///   - path: Where to; its extension says in which form. A `file` is copied as it is.
    ///   - backdrop: Finds the pictures to draw tracks over.
    /// - Throws: ``NodeError`` when the type has no such form, else what reading or writing threw.
    public static func write(_ artifact: Artifact, to path: String, backdrop: BackdropSearch = { _, _ in nil }) throws {
        let form = URL(filePath: path).pathExtension.lowercased()
        let forms = extensions(for: artifact.type)
        guard artifact.type == .file || forms.contains(form) else {
            throw NodeError("a '\(artifact.type)' cannot be written as '.\(form)'; it can as \(forms.map { ".\($0)" }.joined(separator: ", "))")
        }
        let value = try ValueCatalog.open(artifact)
        if form == "safetensors" || artifact.type == .file {
            return try WholeFile.copy(artifact.path, to: path)
        }
        switch (form, value) {
        case ("mp4", let sequence as any FrameSequence): try film(sequence.frames, to: path)
        case ("wav", let audio as NodeKit.Audio):
            try WAVWriter.write(audio.samples, sampleRate: audio.sampleRate, to: path)
        case ("png", let image as NodeKit.Image):
            try PNGWriter.write(RasterImage(width: image.width, height: image.height, pixels: image.pixels), to: path)
        case ("png", _):
            guard let preview = try Inspection(of: artifact, backdrop: backdrop).preview else {
                throw NodeError("a '\(artifact.type)' has no picture")
            }
            try preview.writePNG(to: path)
        case ("csv", _): try WholeFile.write(Data(table(of: value).csv().utf8), to: path)
        case ("json", _): try WholeFile.write(Data(table(of: value).json().utf8), to: path)
        default: throw NodeError("a '\(artifact.type)' cannot be written as '.\(form)'")
        }
    }

    private static func film(_ frames: FrameStore, to path: String) throws {
        let timeline = frames.timeline
        let timeBase = Media.Rational(Int64(timeline.timeBase.numerator), Int64(timeline.timeBase.denominator))
        let file = try WholeFile(path: path)
        // MP4 is not written front to back.
        guard file.isNew else { throw FileFailure(path: path, reason: "it is no regular file") }
        do {
            let writer = try VideoWriter(path: file.temporary, size: FrameSize(frames.width, frames.height), timeBase: timeBase)
            for frame in 0..<timeline.count {
                try frames.withFrame(frame) { try writer.write($0, ticks: timeline.timestamps[frame]) }
            }
            try writer.finish(end: timeline.end)
        } catch let error as MediaError {
            throw MediaError(error.code, path: path, error.message)
        }
        try file.commit()
    }

    /// A value as rows of numbers: one row per frame, joint or sample.
    private static func table(of value: any PortValue) throws -> Table {
        switch value {
        case let table as Table: table
        case let segments as Segments:
            Table(
                columns: [.init("first_frame"), .init("end_frame")],
                rows: segments.ranges.enumerated().map { ("\($0)", [Double($1.lowerBound), Double($1.upperBound)]) })
        case let audio as NodeKit.Audio:
            Table(
                columns: [.init("time", unit: "s"), .init("sample")],
                rows: audio.samples.enumerated().map {
                    ("", [audio.start.value + Double($0) / Double(audio.sampleRate), Double($1)])
                })
        case let pose as PoseTrack: table(of: pose)
        case let head as HeadTrack:
            perFrame(
                head.timeline,
                [("center_x", "px"), ("center_y", "px"), ("radius", "px"), ("confidence", "")]
                    + (0..<9).map { ("rotation_\($0 / 3)\($0 % 3)", "") }
            ) { f in
                ([head.center[f * 2], head.center[f * 2 + 1], head.radius[f], head.confidence[f]]
                    + head.rotation[(f * 9)..<(f * 9 + 9)]).map(Double.init)
            }
        case let faces as FaceTrack:
            perFrame(faces.timeline, [("x", "px"), ("y", "px"), ("width", "px"), ("height", "px"), ("confidence", "")]) { f in
                (faces.boxes[(f * 4)..<(f * 4 + 4)] + [faces.confidence[f]]).map(Double.init)
            }
        case let motion as FaceMotion:
            perFrame(motion.timeline, (0..<(motion.tokenCount * motion.channels)).map { ("token_\($0 / motion.channels)_\($0 % motion.channels)", "") }) { f in
                let width = motion.tokenCount * motion.channels
                return motion.tokens[(f * width)..<((f + 1) * width)].map(Double.init)
            }
        case let features as AudioFeatures:
            perFrame(features.timeline, (0..<features.channels).map { ("feature_\($0)", "") }) { f in
                features.features[(f * features.channels)..<((f + 1) * features.channels)].map(Double.init)
            }
        case let sequence as any FrameSequence:
            perFrame(sequence.timeline, [("duration", "s")]) { f in
                let timeline = sequence.timeline
                let next = f + 1 < timeline.count ? timeline.timestamps[f + 1] : timeline.end
                return [Double(next - timeline.timestamps[f]) * timeline.timeBase.value]
            }
        default:
            throw NodeError("a '\(type(of: value).portType)' is no table; export it as safetensors")
        }
    }

    private static func perFrame(_ timeline: Timeline, _ columns: [(String, String)], _ row: (Int) -> [Double]) -> Table {
        Table(
            columns: [.init("time", unit: "s")] + columns.map { .init($0.0, unit: $0.1) },
            rows: (0..<timeline.count).map { ("\($0)", [timeline.seconds($0)] + row($0)) })
    }

    private static func table(of pose: PoseTrack) -> Table {
        let joints = PoseTrack.jointCount
        return Table(
            columns: [
                .init("time", unit: "s"), .init("joint"), .init("x", unit: "px"), .init("y", unit: "px"),
                .init("position_x", unit: "m"), .init("position_y", unit: "m"), .init("position_z", unit: "m"),
                .init("confidence"), .init("filled"),
            ],
            rows: (0..<pose.count).flatMap { frame in
                (0..<joints).map { joint in
                    let i = frame * joints + joint
                    let place = [pose.keypoints[i * 2], pose.keypoints[i * 2 + 1]] + pose.positions[(i * 3)..<(i * 3 + 3)]
                    return (
                        label: "\(frame)",
                        values: [pose.timeline.seconds(frame), Double(joint)] + place.map(Double.init)
                            + [Double(pose.confidence[i]), Double(pose.filled[i])]
                    )
                }
            })
    }
}
