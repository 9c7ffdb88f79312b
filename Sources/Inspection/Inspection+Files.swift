import Drawing
import Foundation
import Media
import NodeKit
import Safetensors

extension Inspection {
    /// A film as a contact sheet, sound as a waveform, a picture as it is; of other files the size.
    static func file(_ file: File) throws -> Inspection {
        let size = try FileManager.default.attributesOfItem(atPath: file.path)[.size] as? Int ?? 0
        var facts = [Fact("bytes", "\(size)")]
        // A file of another program may be anything: what FFmpeg does not open is just a file.
        guard size > 0, let info = try? MediaInfo(path: file.path), info.video != nil || info.audio != nil else {
            return Inspection(facts: facts)
        }
        facts.append(Fact("container", info.format))
        var canvases: [Canvas] = []
        if let video = info.video {
            facts.append(Fact("size", "\(video.size.width) × \(video.size.height) pixels"))
            let duration = video.duration?.doubleValue ?? 0
            if duration > 0 { facts.append(Fact("duration", "\(short(duration)) s")) }
            if let rate = video.frameRate, duration > 0 { facts.append(Fact("frame rate", "\(short(rate.doubleValue)) fps on average")) }
            facts.append(Fact("video codec", ([video.codec, video.colorMatrix].compactMap { $0 }).joined(separator: ", ")))
            if let sheet = try? filmSheet(file.path, video) { canvases.append(sheet) }
        }
        if let sound = info.audio {
            let length = sound.duration.map { ", \(short($0.doubleValue)) s" } ?? ""
            facts.append(Fact("audio codec", "\(sound.codec), \(sound.sampleRate) Hz, \(sound.channels == 1 ? "mono" : "\(sound.channels) channels")\(length)"))
            // Ten minutes of samples are 38 MB at this rate.
            if (sound.duration?.doubleValue ?? 0) < 600, let reader = try? AudioReader(path: file.path), let samples = try? reader.readAll() {
                let wave = Waveform(samples: samples, sampleRate: reader.options.sampleRate, start: reader.start.doubleValue)
                canvases.append(try wave.drawWave())
            }
        }
        return Inspection(facts: facts, preview: canvases.isEmpty ? nil : try stack(canvases))
    }

    /// Frames spread evenly over a film, decoded at the size they are shown in.
    private static func filmSheet(_ path: String, _ video: VideoInfo) throws -> Canvas? {
        let layout = ContactSheet(count: .max, width: video.size.width, height: video.size.height)
        var options = VideoReader.Options()
        options.size = FrameSize(layout.cell.width, layout.cell.height)
        options.selection = .atOrBefore
        if let duration = video.duration, let rate = video.frameRate, duration * rate > Rational(Int64(layout.maximumCells)) {
            options.frameRate = Rational(Int64(layout.maximumCells)) / duration
        }
        let reader = try VideoReader(path: path, options: options)
        var frames: [VideoFrame] = []
        while frames.count < layout.maximumCells, let frame = try reader.next() { frames.append(frame) }
        guard !frames.isEmpty else { return nil }
        return try ContactSheet(count: frames.count, width: options.size?.width ?? 1, height: options.size?.height ?? 1).draw {
            "\(short(frames[$0].time.doubleValue)) s"
        } cell: { index in
            try Canvas(width: frames[index].image.width, height: frames[index].image.height, rgb: frames[index].image.pixels)
        }
    }

    static func model(_ model: ModelFolder) throws -> Inspection {
        let files = try ModelFolder.files(at: model.path).filter { $0.hasSuffix(".safetensors") }
        let tensors = try files.map { try SafetensorsFile(path: $0) }
        let count = tensors.flatMap(\.tensors.values).reduce(0) { $0 + $1.count }
        let types = Set(tensors.flatMap(\.tensors.values).map(\.dtype.rawValue)).sorted()
        return Inspection(facts: [
            Fact("files", "\(files.count)"), Fact("tensors", "\(tensors.reduce(0) { $0 + $1.tensors.count })"),
            Fact("parameters", "\(count)"), Fact("element types", types.joined(separator: ", ")),
        ])
    }

    static func tensors(_ file: SafetensorsFile) -> Inspection {
        Inspection(
            facts: file.tensors.values.sorted { $0.name < $1.name }.map {
                Fact($0.name, "\($0.dtype.rawValue) [\($0.shape.map(String.init).joined(separator: ", "))]")
            })
    }
}
