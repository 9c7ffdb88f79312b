import Foundation

/// How a picture is brought to another size: Pillow's filters, which the published pipelines resize with.
public enum PictureFilter: Int, Sendable, CaseIterable {
    // Raw values are Pillow's numbers, as preprocessor_config.json has them under `resample`.
    case lanczos = 1
    case bilinear = 2
    case bicubic = 3
    case box = 4
    case hamming = 5

    /// How far the kernel reaches, in samples of the finer of the two grids.
    var support: Double {
        switch self {
        case .box: 0.5
        case .bilinear, .hamming: 1
        case .bicubic: 2
        case .lanczos: 3
        }
    }

    /// The kernel at a distance.
    func callAsFunction(_ distance: Double) -> Double {
        let x = abs(distance)
        func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
        switch self {
        case .box: return distance > -0.5 && distance <= 0.5 ? 1 : 0
        case .bilinear: return x < 1 ? 1 - x : 0
        case .hamming:
            // Pillow has these two in single precision.
            let (mean, swing) = (Double(Float(0.54)), Double(Float(0.46)))
            return x == 0 ? 1 : x < 1 ? sinc(x) * (mean + swing * cos(x * .pi)) : 0
        case .bicubic:
            let a = -0.5
            if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
            return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
        case .lanczos: return distance >= -3 && distance < 3 ? sinc(distance) * sinc(distance / 3) : 0
        }
    }
}
