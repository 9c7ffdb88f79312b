public import Tensors

/// What the reference pictures contribute to every step of every segment, computed once (METHOD §2).
///
/// Reference tokens have a fixed timestep and attend among themselves only, so their keys and values never change. For a network with
/// `joint` attention only latents and pose are kept.
public struct ReferenceCache: Sendable {
    struct Block: Sendable {
        /// For self attention.
        let own: KeyValue
        /// For reference attention.
        let cross: KeyValue
    }

    /// `[references, channels, h, w]`.
    public let latents: Tensor
    /// `[references, pose channels, h, w]`; nil: unknown.
    let pose: Tensor?
    let blocks: [Block]

    /// Memory that the keys and values take.
    public var byteCount: Int {
        blocks.reduce(0) { $0 + 4 * ($1.own.k.count + $1.own.v.count + $1.cross.k.count + $1.cross.v.count) }
    }
}
