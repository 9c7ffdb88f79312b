import CFFmpeg

/// The grey that shows through transparent parts of pictures.
public enum Backdrop: UInt8, Sendable {
    case black = 0, white = 255
}

/// Turns decoded frames of any pixel format into RGB, scaled, upright and placed on a canvas.
final class FrameConverter {
    /// Everything that the scaler's tables depend on.
    private struct Key: Equatable {
        var source: FrameSize
        var format: Int32
        var matrix: Int32
        var isFullRange: Bool
        var chroma: FrameSize
        var target: FrameSize
        var hasAlpha: Bool
    }

    private let path: String
    private let backdrop: Backdrop
    private var key: Key?
    private var scaler: OpaquePointer?
    private var rows: UnsafeMutablePointer<UInt8>?
    private var stride = 0

    init(path: String, backdrop: Backdrop = .white) {
        self.path = path
        self.backdrop = backdrop
    }

    deinit {
        sws_freeContext(scaler)
        av_free(rows)
    }

    /// Colour matrix that a frame's samples were made with; by size where it does not say, as players do.
    static func matrix(of frame: AVFrame) -> AVColorSpace {
        switch frame.colorspace {
        case AVCOL_SPC_UNSPECIFIED, AVCOL_SPC_RESERVED, AVCOL_SPC_RGB:
            return frame.width >= 1280 || frame.height >= 720 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M
        default: return frame.colorspace
        }
    }

    /// - Returns: RGB bytes, `[placement.canvas.height, placement.canvas.width, 3]`. Transparent parts are laid over the backdrop.
    func convert(_ frame: UnsafeMutablePointer<AVFrame>, _ placement: Placement) throws -> [UInt8] {
        let key = try prepare(frame, placement.unturned)
        guard let rows else { throw MediaError(.inputOutput, path: path, "out of memory") }
        let channels = key.hasAlpha ? 4 : 3
        let converted = withPlanes(of: frame) { data, strides in
            var source = (0..<4).map { UnsafePointer(data[$0]) }
            var target: [UnsafeMutablePointer<UInt8>?] = [rows, nil, nil, nil]
            var targetStrides: [Int32] = [Int32(stride), 0, 0, 0]
            return sws_scale(scaler, &source, strides, 0, frame.pointee.height, &target, &targetStrides)
        }
        guard Int(converted) == key.target.height else {
            throw MediaError(.unsupported, path: path, "cannot convert a frame to RGB: \(describe(min(converted, -1)))")
        }
        let canvas = placement.canvas
        return [UInt8](unsafeUninitializedCapacity: canvas.width * canvas.height * 3) { output, count in
            place(UnsafePointer(rows), stride: stride, channels: channels, placement, into: output)
            count = canvas.width * canvas.height * 3
        }
    }

    /// Copies scaled rows to their place, turning them on the way.
    private func place(
        _ rows: UnsafePointer<UInt8>, stride: Int, channels: Int, _ placement: Placement,
        into output: UnsafeMutableBufferPointer<UInt8>
    ) {
        let (canvas, scaled, turn) = (placement.canvas, placement.scaled, placement.orientation), behind = Int(backdrop.rawValue)
        let columns = max(0, placement.x)..<min(canvas.width, placement.x + scaled.width)
        let lines = max(0, placement.y)..<min(canvas.height, placement.y + scaled.height)
        if columns.count < canvas.width || lines.count < canvas.height { output.initialize(repeating: 0) }
        guard let base = output.baseAddress else { return }
        // Bytes from one pixel of an output line to the next, in the source rows.
        let step = turn.isTransposed ? stride : channels
        for line in lines {
            let q = turn.mirrorsY ? scaled.height - 1 - (line - placement.y) : line - placement.y
            let p = turn.mirrorsX ? scaled.width - 1 - (columns.lowerBound - placement.x) : columns.lowerBound - placement.x
            var source = rows + (turn.isTransposed ? p * stride + q * channels : q * stride + p * channels)
            var target = base + (line * canvas.width + columns.lowerBound) * 3
            if channels == 3, step == 3, !turn.mirrorsX {
                target.update(from: source, count: columns.count * 3)
                continue
            }
            let advance = turn.mirrorsX ? -step : step
            for column in columns {
                if channels == 4 {
                    let alpha = Int(source[3])
                    for c in 0..<3 { target[c] = UInt8((Int(source[c]) * alpha + behind * (255 - alpha) + 127) / 255) }
                } else {
                    target[0] = source[0]
                    target[1] = source[1]
                    target[2] = source[2]
                }
                target += 3
                if column + 1 < columns.upperBound { source += advance }
            }
        }
    }

    /// Makes the scaler for this kind of frame unless it is at hand.
    private func prepare(_ frame: UnsafeMutablePointer<AVFrame>, _ target: FrameSize) throws -> Key {
        let source = FrameSize(Int(frame.pointee.width), Int(frame.pointee.height))
        let format = AVPixelFormat(frame.pointee.format)
        guard source.width > 0, source.height > 0, let descriptor = av_pix_fmt_desc_get(format)?.pointee else {
            throw MediaError(.malformed, path: path, "a decoded frame has no size or pixel format")
        }
        let name = descriptor.name.map { String(cString: $0) } ?? "?"
        guard target.width <= 32768, target.height <= 32768, target.width * target.height <= 1 << 28 else {
            throw MediaError(.unsupported, path: path, "scaling \(source) to \(target) is out of bounds; use another size or fit")
        }
        let isJPEG = name.hasPrefix("yuvj")
        let hasAlpha = descriptor.flags & UInt64(AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_PAL) != 0
        let key = Key(
            source: source, format: format.rawValue, matrix: Int32(Self.matrix(of: frame.pointee).rawValue),
            // Grey with alpha is a picture's, of which FFmpeg does not say the range.
            isFullRange: isJPEG || frame.pointee.color_range == AVCOL_RANGE_JPEG || name.hasPrefix("ya"),
            chroma: Self.chromaPosition(frame.pointee, descriptor, isJPEG: isJPEG), target: target, hasAlpha: hasAlpha)
        if key == self.key { return key }
        self.key = nil
        sws_freeContext(scaler)
        av_free(rows)
        rows = nil
        scaler = sws_alloc_context()
        guard let scaler else { throw MediaError(.inputOutput, path: path, "out of memory") }
        let output = hasAlpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24
        let options: [(String, Int)] = [
            ("srcw", source.width), ("srch", source.height), ("src_format", Int(format.rawValue)),
            ("src_range", key.isFullRange ? 1 : 0), ("src_h_chr_pos", key.chroma.width), ("src_v_chr_pos", key.chroma.height),
            ("dstw", target.width), ("dsth", target.height), ("dst_format", Int(output.rawValue)), ("dst_range", 1),
            ("sws_flags", scalerFlags),
        ]
        try configureScaler(scaler, options, matrix: key.matrix, sourceIsFull: key.isFullRange, targetIsFull: true, path)
        // Vector code may write past the end of a row: 64 spare bytes at the end of each.
        stride = (target.width * (hasAlpha ? 4 : 3) + 127) & ~63
        rows = av_malloc(stride * target.height + 64)?.assumingMemoryBound(to: UInt8.self)
        self.key = key
        return key
    }

    /// Place of the chroma samples in 1/256 of their spacing, -513 for "does not matter".
    private static func chromaPosition(_ frame: AVFrame, _ format: AVPixFmtDescriptor, isJPEG: Bool) -> FrameSize {
        let (isHalfWide, isHalfHigh) = (format.log2_chroma_w == 1, format.log2_chroma_h == 1)
        var location = frame.chroma_location
        if location == AVCHROMA_LOC_UNSPECIFIED { location = isJPEG ? AVCHROMA_LOC_CENTER : AVCHROMA_LOC_LEFT }
        let isLeft = location == AVCHROMA_LOC_LEFT || location == AVCHROMA_LOC_TOPLEFT || location == AVCHROMA_LOC_BOTTOMLEFT
        let vertical = switch location {
        case AVCHROMA_LOC_TOPLEFT, AVCHROMA_LOC_TOP: 0
        case AVCHROMA_LOC_BOTTOMLEFT, AVCHROMA_LOC_BOTTOM: 256
        default: 128
        }
        return FrameSize(isHalfWide ? (isLeft ? 0 : 128) : -513, isHalfHigh ? vertical : -513)
    }
}

/// Exact rounding and full chroma on every processor; without them the scaler takes coarse short cuts.
let scalerFlags = Int(SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT)

/// Sets a fresh scaler's options, initialises it and gives it its colour matrix for both ends.
func configureScaler(
    _ scaler: OpaquePointer, _ options: [(String, Int)], matrix: Int32, sourceIsFull: Bool, targetIsFull: Bool, _ path: String
) throws {
    for (name, value) in options {
        let status = av_opt_set_int(UnsafeMutableRawPointer(scaler), name, Int64(value), 0)
        guard status >= 0 else {
            throw MediaError(.unsupported, path: path, "the scaler refuses \(name) \(value): \(describe(status))")
        }
    }
    let status = sws_init_context(scaler, nil, nil)
    guard status >= 0 else {
        throw MediaError(.unsupported, path: path, "this FFmpeg cannot convert between these sizes and pixel formats")
    }
    guard let table = sws_getCoefficients(matrix) else { return }
    _ = sws_setColorspaceDetails(
        scaler, table, sourceIsFull ? 1 : 0, table, targetIsFull ? 1 : 0, 0, 1 << 16, 1 << 16)
}
