import Models

/// The state of a sampler as bytes, so that a killed run goes on from its last finished step, to the same bits.
enum SamplerCheckpoint {
    private static let magic: [UInt8] = Array("USFS0001".utf8)

    static func encode(_ state: FlowSampler.State) -> [UInt8] {
        var bytes = magic
        for number in [state.step, state.sample.count, state.previousClean.count] {
            withUnsafeBytes(of: UInt64(number).littleEndian) { bytes += $0 }
        }
        state.sample.withUnsafeBytes { bytes += $0 }
        state.previousClean.withUnsafeBytes { bytes += $0 }
        return bytes
    }

    /// Nil unless the bytes are a whole state of a sample of `count` values.
    static func decode(_ bytes: [UInt8], count: Int, steps: Int) -> FlowSampler.State? {
        let header = magic.count + 24
        guard bytes.count >= header, Array(bytes[..<magic.count]) == magic else { return nil }
        let numbers = bytes.withUnsafeBytes { raw in
            (0..<3).map {
                UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: magic.count + 8 * $0, as: UInt64.self))
            }
        }
        guard numbers[0] <= UInt64(steps), numbers[1] == UInt64(count), numbers[2] == 0 || numbers[2] == UInt64(count),
            bytes.count == header + 4 * (count + Int(numbers[2]))
        else { return nil }
        func floats(_ offset: Int, _ count: Int) -> [Float] {
            bytes.withUnsafeBytes { raw in
                (0..<count).map { raw.loadUnaligned(fromByteOffset: offset + 4 * $0, as: Float.self) }
            }
        }
        return FlowSampler.State(
            step: Int(numbers[0]), sample: floats(header, count),
            previousClean: floats(header + 4 * count, Int(numbers[2])))
    }
}
