/// Encodes sound as WAV.
public enum WAVWriter {
    public enum Format: Sendable {
        /// 16-bit integers, clipped at full scale, rounded to nearest.
        case pcm16
        /// 32-bit floating point, unchanged.
        case float32
    }

    /// - Parameters:
    ///   - samples: values in -1…1, interleaved if there are several channels.
    ///   - sampleRate: samples per second.
    /// - Returns: a whole WAV file.
    /// - Throws: `MediaError` if the numbers make no sense or the file would pass 4 GiB.
    public static func encode(
        _ samples: [Float], sampleRate: Int, channels: Int = 1, format: Format = .pcm16
    ) throws -> [UInt8] {
        let width = format == .pcm16 ? 2 : 4
        guard (1...Int(Int32.max)).contains(sampleRate), (1...64).contains(channels),
            samples.count.isMultiple(of: channels)
        else {
            throw MediaError(
                .invalidRequest, path: "WAV",
                "\(samples.count) samples at \(sampleRate) Hz in \(channels) channels do not make a sound")
        }
        guard samples.count <= (Int(UInt32.max) - 64) / width else {
            throw MediaError(.unsupported, path: "WAV", "\(samples.count) samples do not fit a WAV file (4 GiB)")
        }
        let size = samples.count * width
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size + 58)
        func append<T: FixedWidthInteger>(_ value: T) {
            withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
        }
        // Floating point needs the longer format chunk and the number of sample frames.
        let isFloat = format == .float32
        bytes += "RIFF".utf8
        append(UInt32(size + (isFloat ? 50 : 36)))
        bytes += "WAVEfmt ".utf8
        append(UInt32(isFloat ? 18 : 16))
        append(UInt16(isFloat ? 3 : 1))
        append(UInt16(channels))
        append(UInt32(sampleRate))
        append(UInt32(clamping: sampleRate * channels * width))
        append(UInt16(channels * width))
        append(UInt16(width * 8))
        if isFloat {
            append(UInt16(0))
            bytes += "fact".utf8
            append(UInt32(4))
            append(UInt32(samples.count / channels))
        }
        bytes += "data".utf8
        append(UInt32(size))
        for sample in samples {
            if isFloat {
                append(sample.bitPattern)
            } else {
                let scaled = (sample.isNaN ? 0 : max(-1, min(1, sample))) * 32767
                append(Int16(scaled.rounded()))
            }
        }
        return bytes
    }

    /// Encodes to a file, replacing it whole.
    public static func write(
        _ samples: [Float], sampleRate: Int, channels: Int = 1, format: Format = .pcm16, to path: String
    ) throws {
        try writeFile(encode(samples, sampleRate: sampleRate, channels: channels, format: format), to: path)
    }
}
