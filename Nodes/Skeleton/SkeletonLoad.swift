import Foundation
import NodeKit
import Perception
import PerceptionValues

/// Reads a skeleton from a file of another tracker or of motion capture.
public struct SkeletonLoad: Node {
    public static let type: NodeType = "skeleton.load"
    public static let version = 2
    public static let summary = "Reads a skeleton from OpenPose or COCO whole-body JSON, SMPL-X parameters or BVH."

    public enum Format: String, ParameterChoice { case auto, openpose, coco, smplx, bvh }

    @Input("A zip of OpenPose's JSON files (or one of them), a COCO JSON file, an SMPL-X .npz, or a BVH file.") var file: File
    @Input("The SMPL-X model's .npz, for SMPL-X parameters.") var model: File?
    @Parameter("What the file is; found out if auto.") var format = Format.auto
    @Parameter("Frames per second where the file does not tell (OpenPose, COCO, some SMPL-X).") var fps: Rational = Rational(25)
    @Parameter("Canvas in pixels: of the footage (OpenPose), or to project onto (SMPL-X, BVH).") var size: PixelSize? = nil
    @Parameter("Whether SMPL-X motion has z upwards, as AMASS has, rather than y.") var zUp = false
    @Parameter("Metres per unit of a BVH file; guessed if not set.", in: 0.0001...1000) var unit: Double? = nil
    @Output("The skeleton.") var pose: PoseTrack

    public init() {}

    public func run(in context: NodeContext) throws {
        guard fps.value > 0 else { throw NodeError("'fps' is \(fps): a positive rate expected") }
        let found = format == .auto ? try detect() : format
        let canvas = size ?? PixelSize(640, 960)
        let track: JointTrack
        switch found {
        case .openpose:
            guard let size else { throw NodeError("OpenPose's files do not tell the size of the footage: set 'size'") }
            let files = try openPoseFiles()
            track = try KeypointFiles.openPose(
                files, times: files.indices.map { Double($0) / fps.value }, width: size.width, height: size.height)
        case .coco:
            track = try KeypointFiles.cocoWholeBody(
                try Data(contentsOf: URL(fileURLWithPath: file.path)), name: file.path, rate: fps.value,
                size: size.map { ($0.width, $0.height) })
        case .smplx:
            guard let model else {
                throw NodeError("SMPL-X parameters need the SMPL-X model's .npz on the input 'model' (from smpl-x.is.tue.mpg.de)")
            }
            track = try SMPLX.track(
                motion: file.path, model: model.path, rate: fps.value, zUp: zUp, width: canvas.width, height: canvas.height)
        case .bvh, .auto:
            let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: file.path)), as: UTF8.self)
            track = try BVH.track(text, name: file.path, unit: unit, width: canvas.width, height: canvas.height)
        }
        guard track.frameCount > 0 else { throw NodeError("'\(file.path)' holds no frames") }
        try $pose.set(PoseTrack(track, timeline: timeline(track)))
    }

    /// The file's own rate where it has one, `fps` else.
    private func timeline(_ track: JointTrack) -> Timeline {
        let interval = track.frameCount > 1 ? track.times[1] : 1 / fps.value
        guard abs(interval - 1 / fps.value) > 1e-9 else { return Timeline(rate: fps, count: track.frameCount) }
        // Files write 0.0083333 for 120 a second: whole rates and 30000/1001's kin are meant exactly.
        for (numerator, denominator) in [(1, 1), (1000, 1001)] {
            let whole = (Double(denominator) / (interval * Double(numerator))).rounded()
            if whole >= 1, whole < 1e6, abs(whole * interval * Double(numerator) / Double(denominator) - 1) < 1e-4 {
                return Timeline(rate: Rational(Int(whole) * numerator, denominator), count: track.frameCount)
            }
        }
        let ticks = max(1, Int64((interval * 1e6).rounded()))
        return Timeline(
            timeBase: Rational(1, 1_000_000), timestamps: (0..<track.frameCount).map { Int64($0) * ticks },
            end: Int64(track.frameCount) * ticks)
    }

    private func detect() throws -> Format {
        guard let handle = FileHandle(forReadingAtPath: file.path) else { throw NodeError("'\(file.path)' cannot be read") }
        defer { try? handle.close() }
        let start = try handle.read(upToCount: 4096) ?? Data()
        if start.starts(with: [0x50, 0x4b]) {
            return try ZipArchive(path: file.path).names.contains { $0.hasSuffix(".npy") } ? .smplx : .openpose
        }
        let text = String(decoding: start, as: UTF8.self)
        if text.drop(while: \.isWhitespace).uppercased().hasPrefix("HIERARCHY") { return .bvh }
        if text.contains("\"people\"") { return .openpose }
        if text.drop(while: \.isWhitespace).first.map({ "[{".contains($0) }) == true { return .coco }
        throw NodeError(
            "'\(file.path)' is none of: zip of OpenPose JSON, COCO whole-body JSON, SMPL-X .npz, BVH; set 'format' if it is")
    }

    private func openPoseFiles() throws -> [(name: String, bytes: Data)] {
        let data = try Data(contentsOf: URL(fileURLWithPath: file.path), options: .mappedIfSafe)
        guard data.starts(with: [0x50, 0x4b]) else { return [(file.path, data)] }
        let zip = try ZipArchive(path: file.path)
        let names = zip.names.filter { $0.hasSuffix(".json") && !$0.contains("__MACOSX") }
        guard !names.isEmpty else { throw NodeError("'\(file.path)' holds no .json files") }
        return try names.sorted { $0.compare($1, options: .numeric) == .orderedAscending }.map { ($0, Data(try zip.contents(of: $0))) }
    }
}
