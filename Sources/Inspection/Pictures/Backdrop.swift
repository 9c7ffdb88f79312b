import Drawing
import NodeKit

/// The pictures that a track was measured in: a film, or one picture behind every frame.
public struct Backdrop {
    public let width: Int
    public let height: Int
    private let picture: (Int) -> [UInt8]?

    /// The backdrop that an artifact can be; nil unless it is a film or a picture.
    ///
    /// - Throws: When the artifact is damaged.
    public init?(_ artifact: Artifact) throws {
        switch artifact.type {
        case .video:
            let video = try Video(artifact: artifact)
            (width, height) = (video.width, video.height)
            picture = { $0 < video.count ? video.frame($0) : nil }
        case .image:
            let image = try Image(artifact: artifact)
            (width, height) = (image.width, image.height)
            picture = { _ in image.pixels }
        default: return nil
        }
    }

    /// The picture behind a frame; nil behind frames that the film does not have.
    func canvas(_ frame: Int) throws -> Canvas? {
        try picture(frame).map { try Canvas(width: width, height: height, rgb: $0) }
    }
}

/// Finds what a track is drawn over: pictures of the size that it was measured in (width, height), if there are any.
public typealias BackdropSearch = (_ width: Int, _ height: Int) -> Backdrop?

extension Backdrop {
    /// The first of some artifacts, nearest first, that is a picture or film of a size.
    public static func first(in artifacts: some Sequence<Artifact>, width: Int, height: Int) -> Backdrop? {
        for artifact in artifacts {
            if let found = try? Backdrop(artifact), found.width == width, found.height == height { return found }
        }
        return nil
    }
}
