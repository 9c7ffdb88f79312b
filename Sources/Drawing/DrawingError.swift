/// What can go wrong when a canvas is made, or written to a file.
public enum DrawingError: Error, CustomStringConvertible {
    /// The surface could not be made at this size.
    case size(width: Int, height: Int, reason: String)
    /// A pixel array does not have the size its width and height ask for.
    case pixelCount(expected: Int, found: Int)
    /// The PNG could not be written or encoded.
    case png(path: String, reason: String)

    public var description: String {
        switch self {
        case .size(let width, let height, let reason):
            "cannot make a canvas of \(width)×\(height) pixels: \(reason); sides must lie in 1…32767"
        case .pixelCount(let expected, let found):
            "pixel array holds \(found) bytes where \(expected) are needed"
        case .png(let path, let reason):
            "cannot write PNG '\(path)': \(reason)"
        }
    }
}
