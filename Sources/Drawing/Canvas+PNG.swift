import CCairo

extension Canvas {
    /// Writes the picture as a PNG file.
    ///
    /// - Throws: `DrawingError.png` when the file cannot be written.
    public func writePNG(to path: String) throws {
        cairo_surface_flush(surface)
        let status = cairo_surface_write_to_png(surface, path)
        guard status == CAIRO_STATUS_SUCCESS else {
            throw DrawingError.png(path: path, reason: Canvas.text(status))
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
