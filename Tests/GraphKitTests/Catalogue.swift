import NodeKit

@testable import GraphKit

/// A small catalogue with the real names of the pipeline's nodes.
enum TestCatalogue {
    static let all: NodeCatalogue = Dictionary(uniqueKeysWithValues: descriptions.map { ($0.type, $0) })

    private static func node(
        _ type: NodeType, in inputs: [NodeDescription.Port], out outputs: [NodeDescription.Port],
        with parameters: [NodeDescription.Parameter] = []
    ) -> NodeDescription {
        NodeDescription(type: type, version: 1, summary: "Test node \(type).", inputs: inputs, outputs: outputs, parameters: parameters)
    }

    private static func port(_ name: String, _ type: PortType, optional: Bool = false) -> NodeDescription.Port {
        .init(name: name, type: type, help: "Port \(name).", isOptional: optional)
    }

    private static func parameter(
        _ name: String, _ kind: ParameterSchema.Kind, _ value: ParameterLiteral, optional: Bool = false,
        in range: ClosedRange<Double>? = nil
    ) -> NodeDescription.Parameter {
        let schema = ParameterSchema(kind, isOptional: optional, minimum: range?.lowerBound, maximum: range?.upperBound)
        return .init(name: name, schema: schema, defaultValue: value, help: "Parameter \(name).")
    }

    static let descriptions: [NodeDescription] = [
        node(
            "video.decode", in: [port("file", .file)], out: [port("video", .video), port("audio", .audio)],
            with: [
                parameter("fps", .rational, .null, optional: true, in: 1...240),
                parameter("size", .size, .null, optional: true, in: 16...4096),
                parameter("fit", .choice(["crop", "pad", "stretch"]), .string("crop")),
                parameter("full", .bool, .bool(false)),
            ]),
        node("audio.decode", in: [port("file", .file)], out: [port("audio", .audio)]),
        node("image.load", in: [port("file", .file)], out: [port("image", .image)]),
        node(
            "video.encode", in: [port("video", .video), port("audio", .audio, optional: true)], out: [port("file", .file)],
            with: [parameter("codec", .string, .string("h264")), parameter("crf", .integer, .integer(18), in: 0...51)]),
        node("skeleton.track", in: [port("video", .video)], out: [port("pose", .pose), port("faces", .faces)]),
        node("head.track", in: [port("faces", .faces)], out: [port("head", .head)]),
        node(
            "face.motion.video", in: [port("video", .video), port("faces", .faces)], out: [port("motion", .faceMotion)],
            with: [parameter("crop", .integer, .integer(224), in: 64...512)]),
        node("face.motion.audio", in: [port("audio", .audio), port("video", .video)], out: [port("motion", .faceMotion)]),
        node("pose.encode", in: [port("pose", .pose)], out: [port("features", .poseFeatures)]),
        node("reference.encode", in: [port("images", PortType.image.list)], out: [port("latents", .reference)]),
        node(
            "segments.plan", in: [port("video", .video)], out: [port("list", .segments)],
            with: [parameter("frames", .integer, .integer(73), in: 5...1001)]),
        node(
            "dit.segment",
            in: [
                port("face", .faceMotion), port("pose", .poseFeatures), port("reference", .reference),
                port("initial", .latent, optional: true), port("model", .model, optional: true),
            ],
            out: [port("latent", .latent), port("last", .latent), port("trace", .table)],
            with: [
                parameter("steps", .integer, .integer(20), in: 1...1000),
                parameter("guidance.reference", .number, .number(2.5), in: 0...20),
                parameter("guidance.motion", .number, .number(2.5), in: 0...20),
                parameter("seed", .integer, .integer(0)),
                parameter("shifts", .list(.number), .list([]), in: 0...10),
                parameter("extra", .any, .null),
            ]),
        node("vae.decode", in: [port("latents", PortType.latent.list)], out: [port("video", .video)]),
    ]
}
