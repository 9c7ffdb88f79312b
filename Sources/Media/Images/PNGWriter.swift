import CFFmpeg
import Foundation
import WholeFiles

/// Encodes pictures as PNG, without loss; the same pixels give the same bytes.
public enum PNGWriter {
    /// - Returns: a whole PNG file (8 bits; grey, RGB or RGBA after `image.channels`).
    /// - Throws: `MediaError` if the picture is empty or larger than a PNG encoder takes.
    public static func encode(_ image: RasterImage) throws -> [UInt8] {
        try image.pixels.withUnsafeBytes {
            try encode($0, width: image.width, height: image.height, channels: image.channels)
        }
    }

    /// Encodes `[height, width, channels]` bytes without copying them first.
    public static func encode(_ pixels: UnsafeRawBufferPointer, width: Int, height: Int, channels: Int) throws -> [UInt8] {
        let name = "PNG \(width)x\(height)"
        let formats = [1: AV_PIX_FMT_GRAY8, 3: AV_PIX_FMT_RGB24, 4: AV_PIX_FMT_RGBA]
        guard let format = formats[channels], (1...65535).contains(width), (1...65535).contains(height),
            pixels.count == width * height * channels
        else {
            throw MediaError(
                .invalidRequest, path: name,
                "\(pixels.count) bytes do not make a picture of \(width)x\(height) with \(channels) channels (1, 3 or 4)")
        }
        _ = quietFFmpeg
        guard let encoder = avcodec_find_encoder(AV_CODEC_ID_PNG) else {
            throw MediaError(.unsupported, path: name, "this FFmpeg has no PNG encoder")
        }
        var context = avcodec_alloc_context3(encoder)
        defer { avcodec_free_context(&context) }
        guard let context else { throw MediaError(.inputOutput, path: name, "out of memory") }
        context.pointee.width = Int32(width)
        context.pointee.height = Int32(height)
        context.pointee.pix_fmt = format
        context.pointee.time_base = AVRational(num: 1, den: 25)
        context.pointee.thread_count = 1
        context.pointee.flags |= AV_CODEC_FLAG_BITEXACT
        // Line filters chosen row by row: far smaller than none for natural pictures.
        av_opt_set(context.pointee.priv_data, "pred", "mixed", 0)
        try check(avcodec_open2(context, encoder, nil), name, "cannot open the PNG encoder")

        let frame = try Frame(path: name)
        frame.pointer.pointee.width = Int32(width)
        frame.pointer.pointee.height = Int32(height)
        frame.pointer.pointee.format = format.rawValue
        frame.pointer.pointee.pts = 0
        try check(av_frame_get_buffer(frame.pointer, 0), name, "out of memory")
        copyRows(pixels, rowBytes: width * channels, rows: height, into: frame.pointer)
        try check(avcodec_send_frame(context, frame.pointer), name, "cannot encode")
        try check(avcodec_send_frame(context, nil), name, "cannot encode")
        let packet = try Packet(path: name)
        try check(avcodec_receive_packet(context, packet.pointer), name, "cannot encode")
        return Array(UnsafeBufferPointer(start: packet.pointer.pointee.data, count: Int(packet.pointer.pointee.size)))
    }

    /// Encodes to a file, replacing it whole.
    public static func write(_ image: RasterImage, to path: String) throws {
        try writeFile(encode(image), to: path)
    }
}

/// Throws `message` with FFmpeg's reason if `status` is an error.
func check(_ status: Int32, _ path: String, _ message: String, _ code: MediaError.Code = .unsupported) throws {
    guard status >= 0 else { throw MediaError(code, path: path, "\(message): \(describe(status))") }
}

/// Copies packed rows into plane 0 of a frame, whose rows are padded.
func copyRows(_ pixels: UnsafeRawBufferPointer, rowBytes: Int, rows: Int, into frame: UnsafeMutablePointer<AVFrame>) {
    guard let base = pixels.baseAddress, let target = frame.pointee.data.0 else { return }
    let stride = Int(frame.pointee.linesize.0)
    for row in 0..<rows {
        UnsafeMutableRawPointer(target + row * stride).copyMemory(from: base + row * rowBytes, byteCount: rowBytes)
    }
}

/// Writes a file that takes its name when it is whole.
func writeFile(_ bytes: [UInt8], to path: String) throws {
    do {
        try WholeFile.write(bytes, to: path)
    } catch {
        throw MediaError(.inputOutput, path: path, "cannot write the file: \(error.reason)")
    }
}
