import CFFmpeg
import WholeFiles

/// FFmpeg writes to stderr by itself unless told not to; errors reach the user as `MediaError`.
let quietFFmpeg: Void = av_log_set_level(AV_LOG_QUIET)

/// The words for an error number of FFmpeg: the system's if it is one of the system's.
func describe(_ error: Int32) -> String {
    // FFmpeg's own are four letters, and far from these.
    if (-4095 ... -1).contains(error) { return SystemReason.text(-error) }
    var buffer = [CChar](repeating: 0, count: 256)
    guard av_strerror(error, &buffer, buffer.count) == 0 else { return "error \(error)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

extension AVRational {
    init(_ value: Rational) {
        // Numbers that need more than 31 bits do not occur in a valid time base or frame rate.
        self.init(num: Int32(clamping: value.numerator), den: Int32(clamping: value.denominator))
    }
}

extension Rational {
    init(_ value: AVRational) { self.init(Int64(value.num), Int64(value.den)) }
}

/// Owns one `AVFrame`.
final class Frame {
    let pointer: UnsafeMutablePointer<AVFrame>

    init(path: String) throws {
        guard let pointer = av_frame_alloc() else {
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        self.pointer = pointer
    }

    deinit {
        var pointer: UnsafeMutablePointer<AVFrame>? = pointer
        av_frame_free(&pointer)
    }
}

/// Owns one `AVPacket`.
final class Packet {
    let pointer: UnsafeMutablePointer<AVPacket>

    init(path: String) throws {
        guard let pointer = av_packet_alloc() else {
            throw MediaError(.inputOutput, path: path, "out of memory")
        }
        self.pointer = pointer
    }

    deinit {
        var pointer: UnsafeMutablePointer<AVPacket>? = pointer
        av_packet_free(&pointer)
    }
}

/// A frame's plane pointers and strides as C arrays of eight, which Swift imports as tuples.
func withPlanes<R>(
    of frame: UnsafeMutablePointer<AVFrame>,
    _ body: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>, UnsafeMutablePointer<Int32>) throws -> R
) rethrows -> R {
    try withUnsafeMutablePointer(to: &frame.pointee.data) { data in
        try withUnsafeMutablePointer(to: &frame.pointee.linesize) { strides in
            try data.withMemoryRebound(to: UnsafeMutablePointer<UInt8>?.self, capacity: 8) { data in
                try strides.withMemoryRebound(to: Int32.self, capacity: 8) { strides in
                    try body(data, strides)
                }
            }
        }
    }
}

/// An entry of a frame's or stream's metadata.
func metadata(_ dictionary: OpaquePointer?, _ key: String) -> String? {
    guard let entry = av_dict_get(dictionary, key, nil, 0), let value = entry.pointee.value else { return nil }
    return String(cString: value)
}
