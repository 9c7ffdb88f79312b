/// Counter-based random numbers: the n-th number of a named stream is a hash of seed, name and n.
///
/// Streams do not disturb each other, so adding a draw to one leaves all others as they were.
struct ActorRandom: Sendable {
    let key: UInt64
    private var counter: UInt64 = 0

    init(seed: UInt64, stream: StaticString) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        stream.withUTF8Buffer { for byte in $0 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 } }
        key = Self.mix(Self.mix(seed) ^ hash)
    }

    private init(key: UInt64) { self.key = key }

    /// A stream of its own, derived from this one.
    func fork(_ index: Int) -> ActorRandom {
        ActorRandom(key: Self.mix(key ^ Self.mix(UInt64(bitPattern: Int64(index)) &+ 0x5851_f42d_4c95_7f2d)))
    }

    static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// The number at a position of the stream, 0 ..< 1.
    func at(_ index: Int) -> Double {
        Double(Self.mix(key &+ UInt64(bitPattern: Int64(index)) &* 0xd134_2543_de82_ef95) >> 11) * 0x1p-53
    }

    mutating func unit() -> Double {
        counter += 1
        return Double(Self.mix(key &+ counter &* 0x9e37_79b9_7f4a_7c15) >> 11) * 0x1p-53
    }

    mutating func uniform(_ low: Double, _ high: Double) -> Double { low + (high - low) * unit() }
    mutating func chance(_ probability: Double) -> Bool { unit() < probability }
    mutating func integer(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(unit() * Double(range.count))
    }
    mutating func pick<T>(_ items: [T]) -> T { items[Int(unit() * Double(items.count))] }
    /// A pick with weights.
    mutating func pick<T>(_ items: [(T, Double)]) -> T {
        var x = unit() * items.reduce(0) { $0 + $1.1 }
        for (item, weight) in items {
            x -= weight
            if x < 0 { return item }
        }
        return items[items.count - 1].0
    }
}
