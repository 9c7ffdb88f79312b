import Models
import NodeKit

/// What is done where a picture has another shape than its canvas.
enum Fitting: String, ParameterChoice {
    case pad, stretch
}

/// Pillow's filters, as far as the published pipelines use them.
enum Filter: String, ParameterChoice {
    case lanczos, bicubic, bilinear

    var filter: PictureFilter {
        switch self {
        case .lanczos: .lanczos
        case .bicubic: .bicubic
        case .bilinear: .bilinear
        }
    }
}

/// On which side of a padded picture the larger part of an odd margin lies.
enum Side: String, ParameterChoice {
    case before, after

    var oddMargin: WanFraming.OddMargin { self == .before ? .before : .after }
}

extension Fitting {
    func callAsFunction(
        _ pixels: [UInt8], width: Int, height: Int, canvas: (width: Int, height: Int), _ filter: Filter, _ side: Side
    ) -> [UInt8] {
        switch self {
        case .pad: WanFraming.fitted(pixels, width: width, height: height, canvas: canvas, filter.filter, oddMargin: side.oddMargin)
        case .stretch: WanFraming.stretched(pixels, width: width, height: height, canvas: canvas, filter.filter)
        }
    }
}
