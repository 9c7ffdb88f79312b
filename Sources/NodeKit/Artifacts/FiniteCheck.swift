import Safetensors

/// Looks for NaN and infinity in a value while it is written, so that a fault shows at the node that made it and is not cached as good.
public struct FiniteCheck {
    /// Types whose numbers must all be finite. Tables may hold what is not known (NaN) or unbounded (PSNR of equal pictures).
    private static let types: Set<PortType> = [
        .audio, .pose, .head, .faces, .faceMotion, .audioFeatures, .latent, .poseFeatures, .reference,
    ]

    private struct Tensor {
        let name: String
        let dtype: DType
        let elementShape: [Int]
        /// Elements seen.
        var count = 0
        var bad = 0
        /// The first bad one.
        var first = 0
    }

    private var tensors: [Tensor] = []

    /// Nil for a type that may hold anything.
    init?(type: PortType) {
        guard Self.types.contains(type) else { return nil }
    }

    mutating func begin(_ name: String, dtype: DType, elementShape: [Int]) {
        tensors.append(Tensor(name: name, dtype: dtype, elementShape: elementShape))
    }

    /// Takes more of the tensor begun last; looks at 32-bit floats.
    mutating func scan(_ bytes: UnsafeRawBufferPointer) {
        guard var tensor = tensors.last, tensor.dtype == .f32 else { return }
        // All exponent bits set: infinity or NaN. Unaligned, because the bytes may come out of any file.
        func isFinite(_ index: Int) -> Bool {
            bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self) & 0x7F80_0000 != 0x7F80_0000
        }
        let elements = bytes.count / 4
        var bad = 0
        for index in 0..<elements { bad &+= isFinite(index) ? 0 : 1 }
        if bad > 0, tensor.bad == 0, let first = (0..<elements).first(where: { !isFinite($0) }) { tensor.first = tensor.count + first }
        tensor.bad += bad
        tensor.count += elements
        tensors[tensors.count - 1] = tensor
    }

    /// - Parameter what: Begins the message: `output 'pose'`.
    /// - Throws: ``NodeError`` with tensor, place and count when something was not finite.
    func check(_ what: String) throws {
        guard let tensor = tensors.first(where: { $0.bad > 0 }) else { return }
        let size = tensor.elementShape.reduce(1, *)
        var place: [Int] = []
        var rest = tensor.first
        for size in tensor.elementShape.reversed() {
            place.insert(rest % max(size, 1), at: 0)
            rest /= max(size, 1)
        }
        place.insert(rest, at: 0)
        let shape = [tensor.count / max(size, 1)] + tensor.elementShape
        throw NodeError(
            "\(what) is not finite: \(tensor.bad) of \(tensor.count) values of '\(tensor.name)' \(shape) are NaN or infinite, the first at \(place); check the node's weights and inputs ('understudy inspect' shows them)"
        )
    }

    /// Looks at a finished file.
    ///
    /// - Throws: As ``check(_:)``.
    public static func check(path: String, type: PortType, what: String) throws {
        guard var check = FiniteCheck(type: type) else { return }
        let file = try SafetensorsFile(path: path)
        for info in file.tensors.values.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
            check.begin(info.name, dtype: info.dtype, elementShape: Array(info.shape.dropFirst()))
            file.withBytes(info) { check.scan($0) }
        }
        try check.check(what)
    }
}
