import Drawing
import Foundation
import NodeKit

/// What a person wants to know about a cached value: facts with units, a picture, rows of a table.
public struct Inspection {
    /// One line, for instance `frame rate: 24 fps`.
    public struct Fact: Sendable, Hashable {
        public let label: String
        public let value: String

        public init(_ label: String, _ value: String) {
            self.label = label
            self.value = value
        }
    }

    public var facts: [Fact]
    /// A contact sheet, plot, waveform or grid. Nil where numbers say it all.
    public var preview: Canvas?
    public var table: Table?

    public init(facts: [Fact], preview: Canvas? = nil, table: Table? = nil) {
        self.facts = facts
        self.preview = preview
        self.table = table
    }

    /// Looks into an artifact.
    ///
    /// - Parameter backdrop: Finds the pictures that a track was measured in: tracks are drawn over them.
    /// - Throws: When the artifact is damaged or of another type.
    public init(of artifact: Artifact, backdrop: BackdropSearch = { _, _ in nil }) throws {
        switch try ValueCatalog.open(artifact) {
        case let image as Image: self = try Self.image(image)
        case let video as Video: self = try Self.frames(video.frames)
        case let maps as Maps: self = try Self.frames(maps.frames)
        case let audio as Audio: self = try Self.audio(audio)
        case let pose as PoseTrack: self = try Self.pose(pose, backdrop: backdrop)
        case let head as HeadTrack: self = try Self.head(head, backdrop: backdrop)
        case let faces as FaceTrack: self = try Self.faces(faces, backdrop: backdrop)
        case let motion as FaceMotion: self = try Self.faceMotion(motion)
        case let features as AudioFeatures: self = try Self.audioFeatures(features)
        case let latent as Latent:
            self = try Self.grid(latent.grid, extra: [Fact("first frame", "\(latent.firstFrame)")])
        case let features as PoseFeatures: self = try Self.grid(features.grid, extra: [])
        case let reference as Reference: self = try Self.reference(reference)
        case let segments as Segments: self = Self.segments(segments)
        case let table as Table:
            self.init(facts: [Fact("rows", "\(table.values.count)"), Fact("columns", "\(table.columns.count)")], table: table)
        case let model as ModelFolder: self = try Self.model(model)
        case let bundle as TensorBundle: self = Self.tensors(bundle.file)
        case let file as File: self = try Self.file(file)
        default: self.init(facts: [])
        }
        facts.insert(Fact("type", artifact.type.name), at: 0)
        facts.append(Fact("digest", artifact.digest.hex))
        facts.append(Fact("artifact", artifact.path))
    }
}

/// Minimum, mean and maximum of some numbers; says when some are not finite.
func range(_ values: some Sequence<Float>, unit: String = "") -> String {
    var (count, bad) = (0, 0)
    var (low, high, sum) = (Float.infinity, -Float.infinity, 0.0)
    for value in values {
        count += 1
        guard value.isFinite else {
            bad += 1
            continue
        }
        low = min(low, value)
        high = max(high, value)
        sum += Double(value)
    }
    guard count > bad else { return count == 0 ? "none" : "\(bad) values, none finite" }
    let unit = unit.isEmpty ? "" : " \(unit)"
    let text = "\(short(low)) … \(short(high)), mean \(short(Float(sum / Double(count - bad))))\(unit)"
    return bad == 0 ? text : text + "; \(bad) not finite"
}

/// A number in at most four significant digits.
func short(_ value: Float) -> String { short(Double(value)) }

func short(_ value: Double) -> String {
    guard value.isFinite else { return "\(value)" }
    if value == 0 { return "0" }
    let digits = max(0, 3 - Int(log10(abs(value)).rounded(.down)))
    if digits > 7 || abs(value) >= 1e9 { return "\(Float(value))" }
    var text = String(format: "%.\(digits)f", value)
    if text.contains(".") {
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
    }
    return text
}
