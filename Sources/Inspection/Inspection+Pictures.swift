import Drawing
import Foundation
import NodeKit

extension Inspection {
    static func image(_ image: Image) throws -> Inspection {
        Inspection(
            facts: [Fact("size", "\(image.width) × \(image.height) pixels"), Fact("mean", mean(image.pixels))],
            preview: try Canvas(width: image.width, height: image.height, rgb: image.pixels))
    }

    static func frames(_ frames: FrameStore) throws -> Inspection {
        Inspection(
            facts: timeFacts(frames.timeline) + [Fact("size", "\(frames.width) × \(frames.height) pixels")],
            preview: try ContactSheet(count: frames.timeline.count, width: frames.width, height: frames.height)
                .draw(times: frames.timeline) { index in
                    try Canvas(width: frames.width, height: frames.height, rgb: frames.frame(index))
                })
    }

    static func grid(_ grid: LatentGrid, extra: [Fact]) throws -> Inspection {
        Inspection(
            facts: [
                Fact("channels", "\(grid.channels)"), Fact("latent frames", "\(grid.frames)"),
                Fact("grid", "\(grid.width) × \(grid.height), 8 pixels a cell"), Fact("values", range(grid.values)),
            ] + extra,
            preview: try LatentPicture(
                values: grid.values, rows: grid.channels, columns: grid.frames, height: grid.height, width: grid.width,
                rowTitle: "channel", columnTitle: "latent frame"
            ).draw())
    }

    static func reference(_ reference: Reference) throws -> Inspection {
        Inspection(
            facts: [
                Fact("references", reference.names.joined(separator: ", ")), Fact("channels", "\(reference.channels)"),
                Fact("grid", "\(reference.width) × \(reference.height), 8 pixels a cell"),
                Fact("values", range(reference.latents)),
            ],
            preview: try LatentPicture(
                values: reference.latents, rows: reference.count, columns: reference.channels, height: reference.height,
                width: reference.width, rowTitle: "reference", columnTitle: "channel"
            ).draw())
    }

    static func segments(_ segments: Segments) -> Inspection {
        let rows = segments.ranges.enumerated().map {
            (label: "segment \($0)", values: [Double($1.lowerBound), Double($1.upperBound - 1), Double($1.count)])
        }
        return Inspection(
            facts: [Fact("segments", "\(segments.ranges.count)"), Fact("clip", "\(segments.frameCount) frames")],
            table: Table(columns: [.init("first frame"), .init("last frame"), .init("frames")], rows: rows))
    }

    static func timeFacts(_ timeline: Timeline) -> [Fact] {
        // One picture has no rate; what its stamps say is a convention.
        guard timeline.count > 1 else { return [Fact("frames", "\(timeline.count)")] }
        var facts = [Fact("frames", "\(timeline.count)"), Fact("duration", "\(short(timeline.duration)) s")]
        if let rate = timeline.averageRate { facts.append(Fact("frame rate", "\(short(rate)) fps on average")) }
        facts.append(Fact("time base", "\(timeline.timeBase) s"))
        return facts
    }

    private static func mean(_ rgb: [UInt8]) -> String {
        let sums = rgb.enumerated().reduce(into: [0, 0, 0]) { $0[$1.offset % 3] += Int($1.element) }
        return "red, green, blue " + sums.map { "\($0 / max(rgb.count / 3, 1))" }.joined(separator: ", ") + " of 255"
    }
}
