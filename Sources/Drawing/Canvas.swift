import CCairo
import Foundation

/// An RGBA picture to draw on, backed by a cairo image surface.
///
/// Drawing follows a graphics state (transform, clip) that `save` and `restore` stack. The same calls give the same
/// bytes on every run. A canvas belongs to one thread at a time.
public final class Canvas {
    /// How an open line ends.
    public enum Cap: Sendable {
        case butt, round, square

        var value: cairo_line_cap_t {
            switch self {
            case .butt: CAIRO_LINE_CAP_BUTT
            case .round: CAIRO_LINE_CAP_ROUND
            case .square: CAIRO_LINE_CAP_SQUARE
            }
        }
    }

    /// How two stretches of a line meet.
    public enum Join: Sendable {
        case miter, round, bevel

        var value: cairo_line_join_t {
            switch self {
            case .miter: CAIRO_LINE_JOIN_MITER
            case .round: CAIRO_LINE_JOIN_ROUND
            case .bevel: CAIRO_LINE_JOIN_BEVEL
            }
        }
    }

    public let width: Int
    public let height: Int
    let surface: OpaquePointer
    let context: OpaquePointer

    /// Makes a canvas of `width`×`height` pixels filled with `background`.
    ///
    /// - Throws: `DrawingError.size` when a side is outside 1…32767 or memory runs out.
    public init(width: Int, height: Int, background: Color = .clear) throws {
        guard (1...32767).contains(width), (1...32767).contains(height),
            let surface = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, Int32(width), Int32(height))
        else { throw DrawingError.size(width: width, height: height, reason: "side out of range") }
        let status = cairo_surface_status(surface)
        guard status == CAIRO_STATUS_SUCCESS, let context = cairo_create(surface) else {
            cairo_surface_destroy(surface)
            throw DrawingError.size(width: width, height: height, reason: Canvas.text(status))
        }
        self.width = width
        self.height = height
        self.surface = surface
        self.context = context
        // GOOD is exact enough for supersampling and does not depend on the machine.
        cairo_set_antialias(context, CAIRO_ANTIALIAS_GOOD)
        cairo_set_tolerance(context, 0.1)
        if background.alpha > 0 { clear(background) }
    }

    deinit {
        cairo_destroy(context)
        cairo_surface_destroy(surface)
    }

    static func text(_ status: cairo_status_t) -> String {
        cairo_status_to_string(status).map { String(cString: $0) } ?? "cairo status \(status.rawValue)"
    }

    // MARK: State

    public func save() { cairo_save(context) }
    public func restore() { cairo_restore(context) }

    /// Runs `body` between `save` and `restore`.
    public func saved(_ body: () throws -> Void) rethrows {
        save()
        defer { restore() }
        try body()
    }

    public func translate(x: Double, y: Double) { cairo_translate(context, x, y) }
    public func scale(x: Double, y: Double) { cairo_scale(context, x, y) }
    public func rotate(_ radians: Double) { cairo_rotate(context, radians) }

    /// Multiplies the transform by x' = xx·x + xy·y + x0, y' = yx·x + yy·y + y0.
    public func transform(xx: Double, yx: Double, xy: Double, yy: Double, x0: Double, y0: Double) {
        var matrix = cairo_matrix_t(xx: xx, yx: yx, xy: xy, yy: yy, x0: x0, y0: y0)
        cairo_transform(context, &matrix)
    }

    /// Keeps later drawing inside `path` (and inside the clip so far) until `restore`.
    public func clip(to path: Path) {
        put(path)
        cairo_clip(context)
    }

    /// Switches edge smoothing; off gives pixels that hold either the old colour or the new one.
    public var antialiased = true {
        didSet { cairo_set_antialias(context, antialiased ? CAIRO_ANTIALIAS_GOOD : CAIRO_ANTIALIAS_NONE) }
    }

    // MARK: Shapes

    /// Replaces every pixel inside the clip.
    public func clear(_ color: Color) {
        cairo_save(context)
        cairo_set_operator(context, CAIRO_OPERATOR_SOURCE)
        set(.color(color))
        cairo_paint(context)
        cairo_restore(context)
    }

    /// Paints the whole clip.
    public func paint(_ paint: Paint) {
        set(paint)
        cairo_paint(context)
    }

    public func fill(_ path: Path, _ paint: Paint) {
        guard !path.isEmpty else { return }
        put(path)
        set(paint)
        cairo_fill(context)
    }

    public func fill(_ path: Path, _ color: Color) { fill(path, .color(color)) }

    public func stroke(_ path: Path, _ paint: Paint, width: Double, cap: Cap = .round, join: Join = .round) {
        guard !path.isEmpty else { return }
        put(path)
        set(paint)
        cairo_set_line_width(context, width)
        cairo_set_line_cap(context, cap.value)
        cairo_set_line_join(context, join.value)
        cairo_stroke(context)
    }

    public func stroke(_ path: Path, _ color: Color, width: Double, cap: Cap = .round, join: Join = .round) {
        stroke(path, .color(color), width: width, cap: cap, join: join)
    }

    /// A straight line with round ends.
    public func line(from a: Point, to b: Point, _ color: Color, width: Double) {
        stroke(Path(points: [a, b], closed: false), color, width: width)
    }

    func put(_ path: Path) {
        cairo_new_path(context)
        for element in path.elements {
            switch element {
            case .move(let p): cairo_move_to(context, p.x, p.y)
            case .line(let p): cairo_line_to(context, p.x, p.y)
            case .curve(let a, let b, let p): cairo_curve_to(context, a.x, a.y, b.x, b.y, p.x, p.y)
            case .close: cairo_close_path(context)
            }
        }
    }

    func set(_ paint: Paint) {
        func add(_ stops: [Paint.Stop], to pattern: OpaquePointer?) {
            for stop in stops {
                let c = stop.color
                cairo_pattern_add_color_stop_rgba(pattern, stop.offset, c.red, c.green, c.blue, c.alpha)
            }
            cairo_set_source(context, pattern)
            cairo_pattern_destroy(pattern)
        }
        switch paint {
        case .color(let c): cairo_set_source_rgba(context, c.red, c.green, c.blue, c.alpha)
        case .linear(let from, let to, let stops):
            add(stops, to: cairo_pattern_create_linear(from.x, from.y, to.x, to.y))
        case .radial(let center, let inner, let outer, let stops):
            add(stops, to: cairo_pattern_create_radial(center.x, center.y, inner, center.x, center.y, outer))
        }
    }
}
