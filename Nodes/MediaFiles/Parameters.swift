import Media
import NodeKit

/// How a picture of one shape fills a frame of another; see `Media.Fit`.
public enum FitChoice: String, ParameterChoice {
    case pad, crop, stretch
    var fit: Media.Fit { Media.Fit(rawValue: rawValue) ?? .pad }
}

/// What transparent parts of a film are laid over.
public enum BackdropChoice: String, ParameterChoice {
    case white, black
}

extension PixelSize {
    var frameSize: FrameSize { FrameSize(width, height) }
}

extension Media.Rational {
    init(_ value: NodeKit.Rational) { self.init(Int64(value.numerator), Int64(value.denominator)) }

    /// A time in seconds given as a parameter, exact to the microsecond.
    init(parameter name: String, seconds: Double) throws {
        guard let value = Media.Rational(seconds: seconds) else {
            throw NodeError("\(name) is \(seconds) seconds, which is no time in a film")
        }
        self = value
    }
}

extension NodeKit.Rational {
    init(_ value: Media.Rational) { self.init(Int(value.numerator), Int(value.denominator)) }
}
