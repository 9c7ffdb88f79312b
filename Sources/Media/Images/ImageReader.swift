import CFFmpeg

/// Reads still pictures: PNG, JPEG, WebP, BMP, TIFF and what else FFmpeg decodes, upright and in RGB.
public enum ImageReader {
    /// - Parameters:
    ///   - size: size of the result, or nil for the picture's own, rounded to multiples of `align`.
    /// - Returns: RGB; transparent parts are laid over white. The orientation that the file has (EXIF, of AVIF its own) is applied.
    /// - Throws: `MediaError` if the file cannot be opened or decoded.
    public static func read(path: String, size: FrameSize? = nil, align: Int = 1, fit: Fit = .pad) throws -> RasterImage {
        try decode(InputFile(path: path), size: size, align: align, fit: fit)
    }

    /// Decodes a picture from memory; `name` stands in error messages.
    public static func decode(
        _ bytes: [UInt8], name: String, size: FrameSize? = nil, align: Int = 1, fit: Fit = .pad
    ) throws -> RasterImage {
        guard !bytes.isEmpty else { throw MediaError(.malformed, path: name, "the picture is empty (0 bytes)") }
        return try decode(InputFile(source: MemorySource(bytes), path: name), size: size, align: align, fit: fit)
    }

    private static func decode(_ file: InputFile, size: FrameSize?, align: Int, fit: Fit) throws -> RasterImage {
        let path = file.path
        if let size, !(1...32768).contains(size.width) || !(1...32768).contains(size.height) {
            throw MediaError(.invalidRequest, path: path, "a size of \(size) was asked for; both sides must be 1 to 32768 pixels")
        }
        guard (1...1024).contains(align) else {
            throw MediaError(.invalidRequest, path: path, "align is \(align); it must be 1 to 1024")
        }
        guard let index = file.bestStream(AVMEDIA_TYPE_VIDEO) else {
            throw MediaError(.noStream, path: path, "the file holds no picture (format '\(file.formatName)')")
        }
        let structure = file.pictureStructure
        if let obstacle = structure?.obstacle { throw MediaError(.unsupported, path: path, obstacle) }
        let decoder = try StreamDecoder(file: file, index: index, threads: 1, refusesDamage: true)
        let frame = try Frame(path: path)
        guard try decoder.next(into: frame.pointer) else {
            throw MediaError(.malformed, path: path, "the picture could not be decoded; it is damaged or cut short")
        }
        // A still picture that had to be patched up is not what the user meant; a film can spare a frame.
        guard decoder.damaged == 0, structure?.isWhole ?? true else {
            throw MediaError(.malformed, path: path, "the picture is damaged or cut short; copy it again")
        }
        let shape = frame.pointer.pointee
        var orientation = cff_stream_display_matrix(decoder.stream).map { Orientation(displayMatrix: $0) } ?? Orientation()
        if let side = av_frame_get_side_data(frame.pointer, AV_FRAME_DATA_DISPLAYMATRIX), side.pointee.size >= 36 {
            orientation = side.pointee.data.withMemoryRebound(to: Int32.self, capacity: 9) { Orientation(displayMatrix: $0) }
        } else if let text = metadata(shape.metadata, "Orientation"), let value = Int(text.filter { $0.isNumber }) {
            orientation = Orientation(exif: value)
        } else if let value = structure?.exifOrientation {
            orientation = Orientation(exif: value)
        }
        let placement = Placement(
            source: FrameSize(Int(shape.width), Int(shape.height)), aspect: Rational(shape.sample_aspect_ratio),
            orientation: orientation, target: size, align: align, fit: fit)
        let pixels = try FrameConverter(path: path).convert(frame.pointer, placement)
        return RasterImage(width: placement.canvas.width, height: placement.canvas.height, pixels: pixels)
    }
}
