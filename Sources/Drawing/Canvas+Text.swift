import CCairo

extension Canvas {
    public enum Alignment: Sendable { case left, center, right }

    /// Size of a text as it will be drawn, in user space units.
    public struct TextSize: Sendable {
        /// Width the pen moves over.
        public var advance: Double
        /// Height of the ink above the baseline.
        public var ascent: Double
        /// Height of the ink below the baseline.
        public var descent: Double
    }

    /// Draws one line of text with its baseline at `origin`.
    ///
    /// - Parameter size: Font size in user space units.
    public func text(
        _ string: String, at origin: Point, size: Double, _ color: Color = .black, bold: Bool = false,
        monospaced: Bool = false, alignment: Alignment = .left
    ) {
        selectFont(size: size, bold: bold, monospaced: monospaced)
        var x = origin.x
        if alignment != .left {
            let advance = measured(string).advance
            x -= alignment == .center ? advance / 2 : advance
        }
        set(.color(color))
        cairo_move_to(context, x, origin.y)
        cairo_show_text(context, string)
    }

    /// How large `string` would be drawn.
    public func measure(
        _ string: String, size: Double, bold: Bool = false, monospaced: Bool = false
    ) -> TextSize {
        selectFont(size: size, bold: bold, monospaced: monospaced)
        return measured(string)
    }

    private func measured(_ string: String) -> TextSize {
        var extents = cairo_text_extents_t()
        cairo_text_extents(context, string, &extents)
        return TextSize(
            advance: extents.x_advance, ascent: -extents.y_bearing, descent: extents.height + extents.y_bearing)
    }

    private func selectFont(size: Double, bold: Bool, monospaced: Bool) {
        cairo_select_font_face(
            context, monospaced ? "DejaVu Sans Mono" : "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
            bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL)
        cairo_set_font_size(context, size)
        // Fixed options, so that desktop font settings do not change the bytes.
        let options = cairo_font_options_create()
        cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY)
        cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_SLIGHT)
        cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF)
        cairo_set_font_options(context, options)
        cairo_font_options_destroy(options)
    }
}
