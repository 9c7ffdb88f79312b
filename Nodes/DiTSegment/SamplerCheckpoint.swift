import Models

/// The state of a sampler as bytes, so that a killed run goes on from its last finished step, to the same bits.
struct SamplerCheckpoint {
    private static let magic: [UInt8] = Array("USFS0002".utf8)

    /// Steps done, and the order of the last one where the sampler has orders.
    var step: Int
    var order = 0
    /// The sample, then what else the sampler remembers, each empty or as long as the sample.
    var values: [[Float]]

    init(step: Int, order: Int = 0, values: [[Float]]) {
        (self.step, self.order, self.values) = (step, order, values)
    }

    var bytes: [UInt8] {
        var bytes = Self.magic
        for number in [step, order, values.count] + values.map(\.count) {
            withUnsafeBytes(of: UInt64(number).littleEndian) { bytes += $0 }
        }
        for value in values { value.withUnsafeBytes { bytes += $0 } }
        return bytes
    }

    /// Nil unless the bytes are a whole state of a sample of `count` values.
    init?(_ bytes: [UInt8], count: Int, steps: Int) {
        let magic = Self.magic
        guard bytes.count >= magic.count + 24, Array(bytes[..<magic.count]) == magic else { return nil }
        func number(_ index: Int) -> UInt64 {
            bytes.withUnsafeBytes {
                UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: magic.count + 8 * index, as: UInt64.self))
            }
        }
        guard number(0) <= UInt64(steps), number(1) <= 3, (1...8).contains(number(2)) else { return nil }
        let parts = Int(number(2))
        let header = magic.count + 8 * (3 + parts)
        guard bytes.count >= header else { return nil }
        let counts = (0..<parts).map { number(3 + $0) }
        guard counts[0] == UInt64(count), counts.allSatisfy({ $0 == 0 || $0 == UInt64(count) }) else { return nil }
        guard bytes.count == header + 4 * counts.reduce(0, { $0 + Int($1) }) else { return nil }
        (step, order, values) = (Int(number(0)), Int(number(1)), [])
        var offset = header
        for count in counts.map({ Int($0) }) {
            values.append(
                bytes.withUnsafeBytes { raw in
                    (0..<count).map { raw.loadUnaligned(fromByteOffset: offset + 4 * $0, as: Float.self) }
                })
            offset += 4 * count
        }
    }
}

extension FlowSampler.State {
    var bytes: [UInt8] { SamplerCheckpoint(step: step, values: [sample, previousClean]).bytes }

    /// Nil unless the bytes are such a state of a sample of `count` values.
    init?(_ bytes: [UInt8], count: Int, steps: Int) {
        guard let saved = SamplerCheckpoint(bytes, count: count, steps: steps), saved.values.count == 2 else { return nil }
        self.init(step: saved.step, sample: saved.values[0], previousClean: saved.values[1])
    }
}

extension UniPCSampler.State {
    var bytes: [UInt8] { SamplerCheckpoint(step: step, order: lastOrder, values: [sample, lastSample] + clean).bytes }

    /// Nil unless the bytes are such a state of a sample of `count` values, by a sampler of this order.
    init?(_ bytes: [UInt8], count: Int, steps: Int, order: Int) {
        guard let saved = SamplerCheckpoint(bytes, count: count, steps: steps), saved.step > 0,
            saved.values.count == 2 + min(saved.step, order), (1...order).contains(saved.order),
            saved.order <= saved.values.count - 2, saved.values.allSatisfy({ !$0.isEmpty })
        else { return nil }
        self.init(sample: saved.values[0])
        (step, lastOrder, lastSample, clean) = (saved.step, saved.order, saved.values[1], Array(saved.values.dropFirst(2)))
    }
}
