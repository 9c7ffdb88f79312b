import Media
import NodeKit

/// Writes frames one by one, sound beside them, to a film whose time 0 is the first frame.
struct FilmWriter {
    let frames: FrameStore
    let sound: (any Sound)?
    let codec: FilmCodec
    let crf: Double

    private var timeline: Timeline { frames.timeline }
    private var first: Int64 { timeline.timestamps.first ?? 0 }

    func write(to path: String, in context: NodeContext) throws {
        guard timeline.count > 0 else { throw NodeError("there are no frames to encode") }
        if codec == .png {
            try writePictures(to: path, in: context)
        } else {
            try writeFilm(to: path, in: context)
        }
    }

    private func writeFilm(to path: String, in context: NodeContext) throws {
        let base = Media.Rational(timeline.timeBase)
        var options = VideoWriter.Options()
        options.codec = codec == .lossless ? .lossless : .h264(crf: crf)
        options.frameRate = timeline.averageRate.flatMap { rate in
            // Exact where the distances are all alike, else the average for rate control.
            isRegular ? nil : Media.Rational(seconds: min(max(rate, 1), 240))
        }
        if isRegular, timeline.count > 1 {
            options.frameRate = (base * Media.Rational(timeline.timestamps[1] - first)).reciprocal
        }
        let zero = Media.Rational(first) * base
        options.audio = sound.map {
            VideoWriter.Audio(sampleRate: $0.sampleRate, channels: $0.channels, start: $0.start - zero)
        }
        let writer = try VideoWriter(path: path, size: FrameSize(frames.width, frames.height), timeBase: base, options: options)
        for index in 0..<timeline.count {
            try context.checkCancelled()
            let next = index + 1 < timeline.count ? timeline.timestamps[index + 1] : timeline.end
            if let sound {
                let due = Media.Rational(next) * base - sound.start
                try sound.read(until: (due * Media.Rational(Int64(sound.sampleRate))).rounded) { try writer.writeAudio($0) }
            }
            try frames.withFrame(index) { try writer.write($0, ticks: timeline.timestamps[index] - first) }
            context.progress(index + 1, of: timeline.count)
        }
        try writer.finish(end: timeline.end - first)
    }

    /// Whether all frames stand at the same distance.
    private var isRegular: Bool {
        guard timeline.count > 1 else { return false }
        let step = timeline.timestamps[1] - first
        return timeline.timestamps.indices.dropFirst().allSatisfy {
            timeline.timestamps[$0] - timeline.timestamps[$0 - 1] == step
        }
    }

    private func writePictures(to path: String, in context: NodeContext) throws {
        let archive = try TarWriter(path: path)
        var table = "frame,seconds\n"
        for index in 0..<timeline.count {
            try context.checkCancelled()
            let png = try frames.withFrame(index) {
                try PNGWriter.encode($0, width: frames.width, height: frames.height, channels: 3)
            }
            let digits = String(index)
            let number = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
            try archive.append("frame_\(number).png", png)
            let time = Media.Rational(timeline.timestamps[index] - first) * Media.Rational(timeline.timeBase)
            table += "\(index),\(time)\n"
            context.progress(index + 1, of: timeline.count)
        }
        try archive.append("timestamps.csv", Array(table.utf8))
        try archive.finish()
    }
}
