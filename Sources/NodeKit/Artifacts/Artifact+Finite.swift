import Safetensors

extension Artifact {
    /// Types whose numbers must all be finite. Tables may hold what is not known (NaN) or unbounded (PSNR of equal pictures).
    private static let finiteTypes: Set<PortType> = [
        .audio, .pose, .head, .faces, .faceMotion, .audioFeatures, .latent, .poseFeatures, .reference,
    ]

    /// Refuses a value that holds NaN or infinity, so that a fault shows at the node that made it and is not cached as good.
    ///
    /// - Parameters:
    ///   - path: A finished safetensors artifact.
    ///   - port: The output it is for; named in the error.
    /// - Throws: ``NodeError`` with tensor, place and count.
    static func checkFinite(path: String, type: PortType, port: String) throws {
        guard finiteTypes.contains(type) else { return }
        let file = try SafetensorsFile(path: path)
        for info in file.tensors.values.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) where info.dtype == .f32 {
            let (count, first) = file.withBytes(info) { bytes in
                // All exponent bits set: infinity or NaN. Unaligned, because other writers' headers may have any length.
                func isFinite(_ index: Int) -> Bool {
                    bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self) & 0x7F80_0000 != 0x7F80_0000
                }
                var count = 0
                for index in 0..<info.count { count &+= isFinite(index) ? 0 : 1 }
                return (count, count == 0 ? nil : (0..<info.count).first { !isFinite($0) })
            }
            guard let first else { continue }
            var place: [Int] = []
            var rest = first
            for size in info.shape.reversed() {
                place.insert(rest % max(size, 1), at: 0)
                rest /= max(size, 1)
            }
            throw NodeError(
                "output '\(port)' is not finite: \(count) of \(info.count) values of '\(info.name)' \(info.shape) are NaN or infinite, the first at \(place); check the node's weights and inputs ('understudy inspect' shows them)"
            )
        }
    }
}
