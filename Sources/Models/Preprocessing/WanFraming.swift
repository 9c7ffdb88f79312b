public import Tensors

/// How the published Wan-Animate pipeline brings pictures and clips to its canvas and its length.
public enum WanFraming {
    /// Where a picture lies on its canvas.
    public struct Box: Equatable, Sendable {
        public let left, top, width, height: Int
    }

    /// On which side of a picture the larger part of an odd margin lies.
    public enum OddMargin: Sendable { case before, after }

    /// The largest box of a picture's shape inside a canvas, in the middle. In whole numbers, as the reference: the free side is truncated.
    ///
    /// - Parameter oddMargin: Wan-Animate has the larger part before the picture, Wan-Animate-2 after it.
    public static func box(width: Int, height: Int, canvas: (width: Int, height: Int), oddMargin: OddMargin = .before) -> Box {
        let isWider = canvas.width * height < width * canvas.height
        let w = isWider ? canvas.width : max(1, width * canvas.height / height)
        let h = isWider ? max(1, height * canvas.width / width) : canvas.height
        func start(_ whole: Int, _ part: Int) -> Int { oddMargin == .before ? whole / 2 - part / 2 : (whole - part) / 2 }
        return Box(left: start(canvas.width, w), top: start(canvas.height, h), width: w, height: h)
    }

    /// A picture fitted inside the canvas and centred on black, as references are. The Wan-Animate pipeline asks for a bilinear
    /// filter, but its image processor falls back to Lanczos.
    ///
    /// - Parameter pixels: Interleaved RGB bytes, `[height, width, 3]`.
    /// - Returns: `[canvas.height, canvas.width, 3]`.
    public static func fitted(
        _ pixels: [UInt8], width: Int, height: Int, canvas: (width: Int, height: Int), _ filter: PictureFilter = .lanczos,
        oddMargin: OddMargin = .before
    ) -> [UInt8] {
        let box = box(width: width, height: height, canvas: canvas, oddMargin: oddMargin)
        let inner = ByteResize.resized(pixels, width: width, height: height, to: (box.width, box.height), filter)
        if (box.width, box.height) == canvas { return inner }
        var result = [UInt8](repeating: 0, count: canvas.width * canvas.height * 3)
        for y in 0..<box.height {
            let start = ((y + box.top) * canvas.width + box.left) * 3
            result.replaceSubrange(start..<(start + box.width * 3), with: inner[(y * box.width * 3)..<((y + 1) * box.width * 3)])
        }
        return result
    }

    /// A frame stretched to the canvas, as pose, face, background and mask are, and the first picture of a film.
    public static func stretched(
        _ pixels: [UInt8], width: Int, height: Int, canvas: (width: Int, height: Int), _ filter: PictureFilter = .lanczos
    ) -> [UInt8] {
        ByteResize.resized(pixels, width: width, height: height, to: canvas, filter)
    }

    /// The canvas for a clip: its own shape, of at most an area, both sides multiples of `align`.
    public static func canvas(width: Int, height: Int, area: Int, align: Int) -> (width: Int, height: Int) {
        let scale = min(1, (Double(area) / Double(width * height)).squareRoot())
        func side(_ length: Int) -> Int { max(align, Int((Double(length) * scale / Double(align)).rounded(.down)) * align) }
        return (side(width), side(height))
    }

    /// The canvas for a picture: its shape at an area, both sides multiples of `align`, rounded down; the picture's own sides are rounded so,
    /// too, before their ratio is taken (as in Wan-Animate-2).
    public static func canvas(ofArea area: Int, width: Int, height: Int, align: Int) -> (width: Int, height: Int) {
        let aspect = Double(aligned(height, align)) / Double(aligned(width, align))
        func side(_ square: Double) -> Int { aligned(Int(square.squareRoot()), align) }
        return (side(Double(area) / aspect), side(Double(area) * aspect))
    }

    /// The multiple of `align` that is not larger, but at least `align`.
    public static func aligned(_ length: Int, _ align: Int) -> Int { max(1, length / align) * align }

    /// Which frame of a clip stands at a place beyond its end: the clip goes on back and forth with its ends repeated (0 1 2 2 1 0 0 1 …).
    public static func mirrored(_ index: Int, count: Int) -> Int {
        let place = index % (2 * count)
        return place < count ? place : 2 * count - 1 - place
    }

    /// Which frame of a clip stands at a place beyond its end: the clip goes on back and forth, without repeating its ends.
    public static func backAndForth(_ index: Int, count: Int) -> Int {
        guard count > 1 else { return 0 }
        let period = 2 * (count - 1)
        let place = index % period
        return place < count ? place : period - place
    }

    /// Grey of an RGB frame as Pillow's mode L has it, 0 … 1: `[height · width]`.
    public static func grey(_ pixels: [UInt8]) -> [Float] {
        (0..<(pixels.count / 3)).map { i in
            let (r, g, b) = (Int(pixels[3 * i]), Int(pixels[3 * i + 1]), Int(pixels[3 * i + 2]))
            return Float((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) / 255
        }
    }

    /// Known pixels over video frames → the four mask channels over latent frames: the first frame counts four times.
    ///
    /// - Parameter mask: `[1 + 4k, h, w]` on the latent's pixels; 1 where the picture is given.
    /// - Returns: `[4, 1 + k, h, w]`.
    public static func packed(_ mask: Tensor) -> Tensor {
        let (h, w) = (mask.shape[1], mask.shape[2])
        let first = mask.sliced(0, 0..<1)
        return Tensor.concatenated([first, first, first, mask], 0).reshaped(-1, 4, h, w).permuted(1, 0, 2, 3)
    }
}
