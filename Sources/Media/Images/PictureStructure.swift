/// What the bytes of a picture's file tell that FFmpeg 5 does not: whether a JPEG has its end, which way up PNG, TIFF and AVIF are, and what
/// it would make wrong.
struct PictureStructure {
    /// Files of more bytes are not looked into.
    static let largest: Int64 = 1 << 29

    /// The formats that are looked into.
    enum Kind {
        case jpeg, png, tiff, avif, webp

        /// By the first twelve bytes.
        init?(head: [UInt8]) {
            if head.starts(with: [0xFF, 0xD8, 0xFF]) {
                self = .jpeg
            } else if head.starts(with: [0x89, 0x50, 0x4E, 0x47]) {
                self = .png
            } else if head.starts(with: [0x49, 0x49, 42, 0]) || head.starts(with: [0x4D, 0x4D, 0, 42]) {
                self = .tiff
            } else if head.count == 12, head[4...] == ArraySlice("ftypavif".utf8) {
                self = .avif
            } else if head.count == 12, head[8...] == ArraySlice("WEBP".utf8) {
                self = .webp
            } else {
                return nil
            }
        }
    }

    /// False for a JPEG that is cut short: FFmpeg fills the rest with grey.
    let isWhole: Bool
    /// Why FFmpeg 5 cannot be trusted with it, and what helps; nil where it can.
    let obstacle: String?
    /// As EXIF has it, 1 … 8; nil where the file does not say.
    let exifOrientation: Int?

    init(_ kind: Kind, _ bytes: [UInt8]) {
        isWhole = kind != .jpeg || Self.hasEnd(jpeg: bytes)
        obstacle =
            switch kind {
            case .webp where bytes.count > 20 && bytes[12..<16] == ArraySlice("VP8X".utf8) && bytes[20] & 2 != 0:
                "it is an animated WebP, which FFmpeg does not read; save one of its pictures as a file of its own, or convert it to a film"
            // Compressed as JPEG, or of luma and chroma.
            case .tiff where [6, 7].contains(Self.number(tag: 259, tiff: bytes[...])) || Self.number(tag: 262, tiff: bytes[...]) == 6:
                "it is a TIFF of a kind whose colours FFmpeg gets wrong (JPEG inside, or YCbCr); save it as PNG"
            default: nil
            }
        exifOrientation =
            switch kind {
            case .jpeg, .webp: nil
            case .png: Self.orientation(png: bytes)
            case .tiff: Self.number(tag: 274, tiff: bytes[...])
            case .avif: Self.orientation(avif: bytes)
            }
    }

    /// Whether the marker EOI stands behind the segments and scans (ITU T.81, B.1.1); within segments, where thumbnails lie, it does not count.
    private static func hasEnd(jpeg bytes: [UInt8]) -> Bool {
        var place = 2
        while place + 1 < bytes.count {
            switch (bytes[place], bytes[place + 1]) {
            case (0xFF, 0xD9): return true
            case (0xFF, 0xFF): place += 1                                            // filled up
            case (0xFF, 0x00), (0xFF, 0x01), (0xFF, 0xD0...0xD8): place += 2         // within a scan; markers without a length
            case (0xFF, _):
                guard let length = number(bytes, place + 2, 2) else { return false }
                place += 2 + max(length, 2)
            default: place += 1                                                      // within a scan
            }
        }
        return false
    }

    /// Of the chunk `eXIf`.
    private static func orientation(png bytes: [UInt8]) -> Int? {
        var place = 8
        while let length = number(bytes, place, 4), place + 12 + length <= bytes.count {
            if bytes[(place + 4)..<(place + 8)] == ArraySlice("eXIf".utf8) {
                // Some programs put JPEG's prefix before it.
                let data = bytes[(place + 8)..<(place + 8 + length)]
                return number(tag: 274, tiff: data.starts(with: Array("Exif\0\0".utf8)) ? data.dropFirst(6) : data)
            }
            place += 12 + length
        }
        return nil
    }

    /// A number of 16 or 32 bits in the first directory of a TIFF structure, which EXIF is too.
    private static func number(tag wanted: Int, tiff bytes: ArraySlice<UInt8>) -> Int? {
        let bytes = Array(bytes), isLittle = bytes.first == 0x49
        guard let directory = number(bytes, 4, 4, isLittle), let count = number(bytes, directory, 2, isLittle) else { return nil }
        for entry in 0..<count {
            let place = directory + 2 + 12 * entry
            guard let tag = number(bytes, place, 2, isLittle) else { return nil }
            if tag == wanted { return number(bytes, place + 2, 2, isLittle).flatMap { [3: 2, 4: 4][$0] }.flatMap { number(bytes, place + 8, $0, isLittle) } }
        }
        return nil
    }

    /// Of the properties `irot` and `imir` (ISO 23008-12, 6.5.10 and 6.5.12), which are applied in this order.
    private static func orientation(avif bytes: [UInt8]) -> Int? {
        guard let meta = box("meta", bytes, bytes.indices), let properties = box("iprp", bytes, (meta.lowerBound + 4)..<max(meta.lowerBound + 4, meta.upperBound)),
            let container = box("ipco", bytes, properties)
        else { return nil }
        let turns = box("irot", bytes, container).flatMap { number(bytes, $0.lowerBound, 1) }.map { $0 & 3 }
        let mirror = box("imir", bytes, container).flatMap { number(bytes, $0.lowerBound, 1) }.map { $0 & 1 }
        guard turns != nil || mirror != nil else { return nil }
        // By quarter turns anticlockwise: not mirrored, top to bottom, left to right.
        let orientations = [[1, 4, 2], [8, 5, 7], [3, 2, 4], [6, 7, 5]]
        return orientations[turns ?? 0][mirror.map { $0 + 1 } ?? 0]
    }

    /// The contents of the first box of a name among those that a stretch holds.
    private static func box(_ name: String, _ bytes: [UInt8], _ stretch: Range<Int>) -> Range<Int>? {
        var place = stretch.lowerBound
        while place + 8 <= stretch.upperBound, let size = number(bytes, place, 4) {
            // 1: eight bytes of size follow, which boxes as large as these never need; 0: to the end.
            let end = size == 0 ? stretch.upperBound : place + size
            guard size == 0 || size >= 8, end <= stretch.upperBound else { return nil }
            if bytes[(place + 4)..<(place + 8)] == ArraySlice(name.utf8) { return (place + 8)..<end }
            place = end
        }
        return nil
    }

    /// A number of one to four bytes; nil beyond the end.
    private static func number(_ bytes: [UInt8], _ place: Int, _ count: Int, _ isLittle: Bool = false) -> Int? {
        guard place >= 0, place <= bytes.count - count else { return nil }
        let part = bytes[place..<(place + count)]
        return isLittle ? part.reversed().reduce(0) { $0 << 8 | Int($1) } : part.reduce(0) { $0 << 8 | Int($1) }
    }
}
