import Foundation

/// Counter-based random numbers (Philox 4×32-10; Salmon et al., «Parallel random numbers: as easy as 1, 2, 3», SC 2011).
///
/// A number depends on seed, stream and position only, so order and thread count change nothing.
public struct Randomness: Sendable {
    private let key: (UInt32, UInt32)
    private let stream: UInt64

    /// - Parameters:
    ///   - seed: The seed a user sets.
    ///   - stream: Tells independent uses of one seed apart.
    public init(seed: UInt64, stream: UInt64 = 0) {
        key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        self.stream = stream
    }

    /// Four random words for a position.
    public func words(at position: UInt64) -> (UInt32, UInt32, UInt32, UInt32) {
        var c0 = UInt32(truncatingIfNeeded: position)
        var c1 = UInt32(truncatingIfNeeded: position >> 32)
        var c2 = UInt32(truncatingIfNeeded: stream)
        var c3 = UInt32(truncatingIfNeeded: stream >> 32)
        var (k0, k1) = key
        for _ in 0..<10 {
            let a = UInt64(0xD251_1F53) * UInt64(c0)
            let b = UInt64(0xCD9E_8D57) * UInt64(c2)
            (c0, c1, c2, c3) = (
                UInt32(b >> 32) ^ c1 ^ k0, UInt32(truncatingIfNeeded: b),
                UInt32(a >> 32) ^ c3 ^ k1, UInt32(truncatingIfNeeded: a)
            )
            k0 &+= 0x9E37_79B9
            k1 &+= 0xBB67_AE85
        }
        return (c0, c1, c2, c3)
    }

    /// A number in [0, 1).
    public func uniform(at position: UInt64) -> Double {
        let (a, b, _, _) = words(at: position)
        return Double((UInt64(a) << 32 | UInt64(b)) >> 11) * 0x1p-53
    }

    /// Standard normal numbers for positions `start ..< start + count` (Box–Muller, two per block of four words).
    public func normals(from start: UInt64, count: Int) -> [Float] {
        var result = [Float](repeating: 0, count: count)
        for i in 0..<count {
            let position = start + UInt64(i)
            let (a, b, c, d) = words(at: position / 2)
            let u = (Double((UInt64(a) << 32 | UInt64(b)) >> 11) + 1) * 0x1p-53
            let v = Double((UInt64(c) << 32 | UInt64(d)) >> 11) * 0x1p-53
            let radius = (-2 * log(u)).squareRoot()
            result[i] = Float(radius * (position % 2 == 0 ? cos(2 * .pi * v) : sin(2 * .pi * v)))
        }
        return result
    }
}
