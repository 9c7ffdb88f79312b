/// The type of a port: a wire joins equal types.
public struct PortType: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The name in graph files, for instance `video` or `list<latent>`.
    public let name: String

    public init(_ name: String) { self.name = name }
    public init(stringLiteral value: String) { self.init(value) }

    public var description: String { name }

    /// The type of a list whose elements have this type.
    public var list: PortType { PortType("list<\(name)>") }

    /// The element type if this is a list.
    public var element: PortType? {
        guard name.hasPrefix("list<"), name.hasSuffix(">") else { return nil }
        return PortType(String(name.dropFirst(5).dropLast()))
    }

    public static let image: PortType = "image"
    public static let video: PortType = "video"
    public static let audio: PortType = "audio"
    public static let pose: PortType = "pose"
    public static let head: PortType = "head"
    public static let faces: PortType = "faces"
    public static let faceMotion: PortType = "face-motion"
    public static let audioFeatures: PortType = "audio-features"
    public static let maps: PortType = "maps"
    public static let latent: PortType = "latent"
    public static let poseFeatures: PortType = "pose-features"
    public static let reference: PortType = "reference"
    public static let segments: PortType = "segments"
    public static let model: PortType = "model"
    public static let table: PortType = "table"
    public static let tensor: PortType = "tensor"
    public static let file: PortType = "file"

    /// Whether values of this type are used by their path: nodes are given a file or a folder, not tensors.
    public var isUsedByPath: Bool { self == .file || self == .model }

    /// Every element type there is.
    public static let all: [PortType] = [
        .image, .video, .audio, .pose, .head, .faces, .faceMotion, .audioFeatures, .maps, .latent, .poseFeatures,
        .reference, .segments, .model, .table, .tensor, .file,
    ]

    /// The types with a time axis: a wire may cut a range of frames out of them with `[each.range]`.
    public static let timeSliceable: Set<PortType> = [
        .video, .audio, .pose, .head, .faces, .faceMotion, .audioFeatures, .maps, .latent, .poseFeatures,
    ]
}
