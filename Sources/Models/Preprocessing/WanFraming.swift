public import Tensors

/// How the published Wan-Animate pipeline brings pictures and clips to its canvas and its length.
public enum WanFraming {
    /// A picture fitted inside the canvas (Lanczos) and centred on black, as the reference is. The published pipeline asks for a bilinear
    /// filter, but its image processor falls back to Lanczos.
    ///
    /// - Parameter pixels: Interleaved RGB bytes, `[height, width, 3]`.
    /// - Returns: `[canvas.height, canvas.width, 3]`.
    public static func fitted(_ pixels: [UInt8], width: Int, height: Int, canvas: (width: Int, height: Int)) -> [UInt8] {
        // In whole numbers, as the reference: the free side is truncated.
        let isWider = canvas.width * height < width * canvas.height
        let w = isWider ? canvas.width : max(1, width * canvas.height / height)
        let h = isWider ? max(1, height * canvas.width / width) : canvas.height
        let inner = ByteResize.resized(pixels, width: width, height: height, to: (w, h), .lanczos)
        if (w, h) == canvas { return inner }
        var result = [UInt8](repeating: 0, count: canvas.width * canvas.height * 3)
        let (left, top) = (canvas.width / 2 - w / 2, canvas.height / 2 - h / 2)
        for y in 0..<h {
            let start = ((y + top) * canvas.width + left) * 3
            result.replaceSubrange(start..<(start + w * 3), with: inner[(y * w * 3)..<((y + 1) * w * 3)])
        }
        return result
    }

    /// A frame stretched to the canvas (Lanczos), as pose, face, background and mask are.
    public static func stretched(_ pixels: [UInt8], width: Int, height: Int, canvas: (width: Int, height: Int)) -> [UInt8] {
        ByteResize.resized(pixels, width: width, height: height, to: canvas, .lanczos)
    }

    /// The canvas for a clip: its own shape, of at most an area, both sides multiples of `align`.
    public static func canvas(width: Int, height: Int, area: Int, align: Int) -> (width: Int, height: Int) {
        let scale = min(1, (Double(area) / Double(width * height)).squareRoot())
        func side(_ length: Int) -> Int { max(align, Int((Double(length) * scale / Double(align)).rounded(.down)) * align) }
        return (side(width), side(height))
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
