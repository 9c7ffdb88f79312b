import CCairo

extension Canvas {
    public enum Filter: Sendable {
        /// Nearest pixel: blocks stay sharp.
        case nearest
        /// Bilinear; averages when shrinking.
        case smooth
    }

    /// Makes a canvas that holds `rgb`, bytes `[height, width, 3]`.
    ///
    /// - Throws: `DrawingError` when the size is out of range or the array does not fit it.
    public convenience init(width: Int, height: Int, rgb: [UInt8]) throws {
        guard rgb.count == width * height * 3 else {
            throw DrawingError.pixelCount(expected: width * height * 3, found: rgb.count)
        }
        try self.init(width: width, height: height)
        guard let data = cairo_image_surface_get_data(surface) else { return }
        let stride = Int(cairo_image_surface_get_stride(surface))
        rgb.withUnsafeBufferPointer { source in
            for y in 0..<height {
                let row = data + y * stride
                for x in 0..<width {
                    let i = (y * width + x) * 3
                    // ARGB32 is a native-endian word: blue first in memory on the little-endian machines we run on.
                    row[x * 4] = source[i + 2]
                    row[x * 4 + 1] = source[i + 1]
                    row[x * 4 + 2] = source[i]
                    row[x * 4 + 3] = 255
                }
            }
        }
        cairo_surface_mark_dirty(surface)
    }

    /// Draws `image` scaled into `rect`.
    public func draw(_ image: Canvas, in rect: Rect, filter: Filter = .smooth, alpha: Double = 1) {
        draw(image, from: Rect(x: 0, y: 0, width: Double(image.width), height: Double(image.height)), in: rect,
            filter: filter, alpha: alpha)
    }

    /// Draws the part `source` of `image` (its pixels; parts outside repeat its edge) scaled into `rect`.
    public func draw(
        _ image: Canvas, from source: Rect, in rect: Rect, filter: Filter = .smooth, alpha: Double = 1
    ) {
        guard rect.width > 0, rect.height > 0, source.width > 0, source.height > 0 else { return }
        cairo_save(context)
        cairo_rectangle(context, rect.x, rect.y, rect.width, rect.height)
        cairo_clip(context)
        cairo_translate(context, rect.x, rect.y)
        cairo_scale(context, rect.width / source.width, rect.height / source.height)
        cairo_set_source_surface(context, image.surface, -source.x, -source.y)
        let pattern = cairo_get_source(context)
        cairo_pattern_set_filter(pattern, filter == .nearest ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_GOOD)
        cairo_pattern_set_extend(pattern, CAIRO_EXTEND_PAD)
        cairo_paint_with_alpha(context, alpha)
        cairo_restore(context)
    }

    /// The picture as RGB bytes `[height, width, 3]`; transparent parts come out over black.
    public func rgb() -> [UInt8] {
        cairo_surface_flush(surface)
        guard let data = cairo_image_surface_get_data(surface) else { return [] }
        let stride = Int(cairo_image_surface_get_stride(surface))
        let (width, height) = (width, height)
        return [UInt8](unsafeUninitializedCapacity: width * height * 3) { out, count in
            for y in 0..<height {
                let row = data + y * stride
                var o = y * width * 3
                for x in 0..<width {
                    out[o] = row[x * 4 + 2]
                    out[o + 1] = row[x * 4 + 1]
                    out[o + 2] = row[x * 4]
                    o += 3
                }
            }
            count = width * height * 3
        }
    }

    /// The picture as RGBA bytes `[height, width, 4]` with straight alpha.
    public func rgba() -> [UInt8] {
        cairo_surface_flush(surface)
        guard let data = cairo_image_surface_get_data(surface) else { return [] }
        let stride = Int(cairo_image_surface_get_stride(surface))
        var out = [UInt8](repeating: 0, count: width * height * 4)
        for y in 0..<height {
            let row = data + y * stride
            for x in 0..<width {
                let alpha = Int(row[x * 4 + 3])
                guard alpha > 0 else { continue }
                let o = (y * width + x) * 4
                for c in 0..<3 { out[o + c] = UInt8(min(255, (Int(row[x * 4 + 2 - c]) * 255 + alpha / 2) / alpha)) }
                out[o + 3] = UInt8(alpha)
            }
        }
        return out
    }

    /// The picture shrunk by an exact factor, each pixel the mean of its `factor`×`factor` block.
    /// Bytes `[height / factor, width / factor, 3]`; a remainder at the right and bottom is left out.
    public func rgb(shrunkBy factor: Int) -> [UInt8] {
        guard factor > 1 else { return rgb() }
        cairo_surface_flush(surface)
        guard let data = cairo_image_surface_get_data(surface) else { return [] }
        let stride = Int(cairo_image_surface_get_stride(surface))
        let (w, h, area) = (width / factor, height / factor, factor * factor)
        return [UInt8](unsafeUninitializedCapacity: w * h * 3) { out, count in
            for y in 0..<h {
                for x in 0..<w {
                    var (r, g, b) = (area / 2, area / 2, area / 2)
                    for v in 0..<factor {
                        let row = data + (y * factor + v) * stride + x * factor * 4
                        for u in 0..<factor {
                            b += Int(row[u * 4])
                            g += Int(row[u * 4 + 1])
                            r += Int(row[u * 4 + 2])
                        }
                    }
                    let o = (y * w + x) * 3
                    out[o] = UInt8(r / area)
                    out[o + 1] = UInt8(g / area)
                    out[o + 2] = UInt8(b / area)
                }
            }
            count = w * h * 3
        }
    }

    /// Colour of one pixel as RGB bytes; nil outside the picture.
    public func pixel(x: Int, y: Int) -> (red: UInt8, green: UInt8, blue: UInt8)? {
        guard (0..<width).contains(x), (0..<height).contains(y) else { return nil }
        cairo_surface_flush(surface)
        guard let data = cairo_image_surface_get_data(surface) else { return nil }
        let p = data + y * Int(cairo_image_surface_get_stride(surface)) + x * 4
        return (p[2], p[1], p[0])
    }
}
