import NodeKit

/// What makes an action what it is, spelled out: two actions with the same text give the same outputs.
///
/// Ports are in name order, so that moving a declaration changes no key; artifacts of a list are in list order.
public struct ActionKey: Sendable, Hashable {
    /// The digest of the canonical text: the name of the action in the store.
    public let digest: Digest

    /// The key of a node's instance.
    ///
    /// - Parameters:
    ///   - description: The node's type and version.
    ///   - codeDigest: The digest of an external node's folder.
    ///   - parameters: All parameters in canonical form, defaults included.
    ///   - inputs: Content digests by port; unwired ports are absent.
    ///   - numericPolicy: Precision and kernels, as far as they change results.
    public init(
        _ description: NodeDescription, codeDigest: Digest?, parameters: String, inputs: [String: [Digest]],
        numericPolicy: String
    ) {
        var text = "understudy action 1\nnode "
        text.reserveCapacity(256 + parameters.utf8.count + 80 * inputs.count)
        func append(_ parts: String...) { for part in parts { text += part } }
        append(ParameterLiteral.string(description.type.name).canonical, " ", String(description.version), "\n")
        if let codeDigest { append("code ", codeDigest.hex, "\n") }
        append("parameters ", parameters, "\nnumbers ", ParameterLiteral.string(numericPolicy).canonical, "\n")
        for (port, digests) in inputs.sorted(by: { $0.key < $1.key }) {
            append("input ", ParameterLiteral.string(port).canonical, " ", String(digests.count), "\n")
            for digest in digests { append(digest.hex, "\n") }
        }
        digest = Digest.of(text)
    }

    /// The key of a stretch of frames cut out of a value.
    public init(sliceOf artifact: Artifact, frames: Range<Int>) {
        digest = Digest.of(
            "understudy slice 1\n\(artifact.type)\n\(artifact.digest)\n\(frames.lowerBound) \(frames.upperBound)\n")
    }

    /// The key of one segment of a list of segments, as a value of its own.
    public init(segment frames: Range<Int>, validFrames: Int) {
        digest = Digest.of("understudy segment 1\n\(frames.lowerBound) \(frames.upperBound) \(validFrames)\n")
    }
}
