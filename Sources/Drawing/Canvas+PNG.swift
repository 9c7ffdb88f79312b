import CCairo
import WholeFiles

extension Canvas {
    /// Writes the picture as a PNG file, which takes its name when it is whole.
    ///
    /// - Throws: `DrawingError.png` when the file cannot be written.
    public func writePNG(to path: String) throws {
        do {
            try WholeFile.write(png(), to: path)
        } catch let error as FileFailure {
            throw DrawingError.png(path: path, reason: error.reason)
        }
    }

    /// The picture encoded as PNG.
    ///
    /// - Throws: `DrawingError.png` when encoding fails.
    public func png() throws -> [UInt8] {
        cairo_surface_flush(surface)
        var bytes: [UInt8] = []
        let status = withUnsafeMutablePointer(to: &bytes) { sink in
            cairo_surface_write_to_png_stream(
                surface,
                { closure, data, length in
                    guard let closure, let data else { return CAIRO_STATUS_WRITE_ERROR }
                    closure.assumingMemoryBound(to: [UInt8].self).pointee
                        .append(contentsOf: UnsafeBufferPointer(start: data, count: Int(length)))
                    return CAIRO_STATUS_SUCCESS
                }, sink)
        }
        guard status == CAIRO_STATUS_SUCCESS else {
            throw DrawingError.png(path: "(in memory)", reason: Canvas.text(status))
        }
        return bytes
    }
}
