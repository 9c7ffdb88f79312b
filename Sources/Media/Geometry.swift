/// How a picture of one shape fills a frame of another.
public enum Fit: String, Sendable, CaseIterable {
    /// All of the picture, black beside it.
    case pad
    /// The whole frame, what sticks out is cut off evenly.
    case crop
    /// The whole frame, aspect not kept.
    case stretch
}

/// A size in pixels.
public struct FrameSize: Hashable, Sendable, CustomStringConvertible {
    public let width: Int
    public let height: Int
    public init(_ width: Int, _ height: Int) {
        self.width = width
        self.height = height
    }
    public var description: String { "\(width)x\(height)" }

    /// Each side rounded to the nearest multiple of `step`, at least one `step`.
    public func aligned(to step: Int) -> FrameSize {
        guard step > 1 else { return self }
        return FrameSize(max(1, (width + step / 2) / step) * step, max(1, (height + step / 2) / step) * step)
    }
}

/// One of the eight ways to turn and mirror a picture by right angles: transpose first, then mirror.
struct Orientation: Hashable {
    var isTransposed = false
    var mirrorsX = false
    var mirrorsY = false

    /// From a display matrix, `(x, y) → (a·x + c·y, b·x + d·y)` with y downwards; angles between are taken to the nearest.
    init(displayMatrix m: UnsafePointer<Int32>) {
        let (a, b, c, d) = (m[0], m[1], m[3], m[4])
        if a.magnitude >= b.magnitude {
            mirrorsX = a < 0
            mirrorsY = d < 0
        } else {
            isTransposed = true
            mirrorsX = c < 0
            mirrorsY = b < 0
        }
    }

    /// From an EXIF orientation; anything outside 1…8 is upright.
    init(exif value: Int) {
        isTransposed = (5...8).contains(value)
        mirrorsX = [2, 3, 6, 7].contains(value)
        mirrorsY = [3, 4, 7, 8].contains(value)
    }

    init() {}
}

/// Where a source picture lands in an output frame.
struct Placement: Hashable {
    /// The output frame.
    let canvas: FrameSize
    /// The source as seen upright, scaled; may be larger than the canvas.
    let scaled: FrameSize
    /// Left top corner of `scaled` on the canvas; negative if cut off.
    let x: Int
    let y: Int
    let orientation: Orientation

    /// Size to convert the source to, before it is turned.
    var unturned: FrameSize {
        orientation.isTransposed ? FrameSize(scaled.height, scaled.width) : scaled
    }

    /// - Parameters:
    ///   - source: coded size of the picture.
    ///   - aspect: sample aspect ratio; outside 1/16…16 or zero it counts as 1.
    ///   - target: output size, or nil for the picture's own size in square pixels, rounded to multiples of `align`.
    init(source: FrameSize, aspect: Rational, orientation: Orientation, target: FrameSize?, align: Int, fit: Fit) {
        var shown = Self.display(source, aspect)
        if orientation.isTransposed { shown = FrameSize(shown.height, shown.width) }
        canvas = target ?? shown.aligned(to: align)
        self.orientation = orientation
        let (w, h) = (shown.width, shown.height)
        // Cross products compare the aspects without division.
        let isWider = w * canvas.height > h * canvas.width
        let fitsWidth = fit == .pad ? isWider : !isWider
        if fit == .stretch {
            scaled = canvas
        } else if fitsWidth {
            scaled = FrameSize(canvas.width, max(1, (h * canvas.width * 2 + w) / (2 * w)))
        } else {
            scaled = FrameSize(max(1, (w * canvas.height * 2 + h) / (2 * h)), canvas.height)
        }
        x = (canvas.width - scaled.width) / 2
        y = (canvas.height - scaled.height) / 2
    }

    static func display(_ source: FrameSize, _ aspect: Rational) -> FrameSize {
        guard aspect != Rational(1), aspect > Rational(1, 16), aspect < Rational(16) else { return source }
        return FrameSize(max(1, Int((Rational(Int64(source.width)) * aspect).rounded)), source.height)
    }
}
