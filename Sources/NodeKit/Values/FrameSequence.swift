import Safetensors

/// A sequence of RGB pictures with time stamps, read frame by frame from its mapped file: `video` and `maps` are of this form.
public protocol FrameSequence: TimeSliceable {
    var frames: FrameStore { get }
    init(frames: FrameStore)
}

extension FrameSequence {
    public init(artifact: Artifact) throws {
        if let stream = artifact.stream {
            self.init(frames: FrameStore(stream))
        } else {
            self.init(frames: try FrameStore(file: artifact.open(), type: Self.portType))
        }
    }

    public var count: Int { frames.timeline.count }
    public var width: Int { frames.width }
    public var height: Int { frames.height }
    public var timeline: Timeline { frames.timeline }

    /// Frame `index` as interleaved RGB bytes, `[height, width, 3]`.
    public func frame(_ index: Int) -> [UInt8] { frames.frame(index) }

    public func write(frames range: Range<Int>, to writer: ArtifactWriter) throws {
        let timeline = try frames.timeline.slice(range)
        let output = try FrameWriter(writer, width: width, height: height, timeBase: timeline.timeBase)
        for (i, stamp) in zip(range, timeline.timestamps) {
            try frames.withFrame(i) { try output.append($0, at: stamp) }
        }
        try output.finish(end: timeline.end)
    }
}

/// The frames behind a `video` or `maps` value: `frames` u8 `[frames, height, width, 3]`, sRGB, full range; in a file, or on their
/// way from the node that makes them.
public struct FrameStore: Sendable {
    public struct Metadata: Codable, Sendable, Hashable {
        public var time: Timeline.Metadata
        public var colorSpace = "sRGB"

        public init(time: Timeline.Metadata) { self.time = time }
    }

    private enum Source: Sendable {
        case file(SafetensorsFile, TensorInfo)
        case stream(FrameStream.Reader)
    }

    private let source: Source
    public let timeline: Timeline
    public let width: Int
    public let height: Int

    init(_ reader: FrameStream.Reader) {
        source = .stream(reader)
        timeline = reader.stream.format.timeline
        width = reader.stream.format.width
        height = reader.stream.format.height
    }

    init(file: SafetensorsFile, type: PortType) throws {
        let metadata = try file.metadata(Metadata.self, of: type)
        let info = try file.info("frames")
        try file.check(info, shape: [-1, -1, -1, 3])
        guard info.dtype == .u8, info.shape[1] > 0, info.shape[2] > 0 else {
            throw NodeError("\(file.file.path): frames are \(info.dtype.rawValue) \(info.shape), bytes [frames, height, width, 3] expected")
        }
        timeline = try Timeline(file: file, metadata: metadata.time)
        guard timeline.count == info.shape[0] else {
            throw NodeError("\(file.file.path): \(info.shape[0]) frames, \(timeline.count) time stamps")
        }
        source = .file(file, info)
        height = info.shape[1]
        width = info.shape[2]
    }

    private var frameByteCount: Int { width * height * 3 }

    /// The bytes of one frame, inside the closure. Its pages may leave memory afterwards, so that a long video read in
    /// order does not stay resident.
    ///
    /// Of a stream, frames before one that was read are gone; see ``Input/init(_:readsInOrder:)``.
    ///
    /// - Precondition: `index` is a frame of the sequence.
    public func withFrame<R>(_ index: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        precondition((0..<timeline.count).contains(index), "frame \(index) of \(timeline.count)")
        switch source {
        case .stream(let reader):
            return try reader.stream.frame(index, for: reader.number).withUnsafeBytes(body)
        case .file(let file, let info):
            let start = index * frameByteCount
            defer {
                let offset = file.dataOffset + info.range.lowerBound + start
                file.file.dropResidentPages(offset..<(offset + frameByteCount))
            }
            return try file.withBytes(info) {
                try body(UnsafeRawBufferPointer(rebasing: $0[start..<(start + frameByteCount)]))
            }
        }
    }

    /// Frame `index` as interleaved RGB bytes, `[height, width, 3]`.
    public func frame(_ index: Int) -> [UInt8] { withFrame(index) { [UInt8]($0) } }
}

/// Writes the frames of a `video` or `maps` artifact one after another.
public final class FrameWriter {
    private let writer: ArtifactWriter
    private let stream: FrameStream?
    private let behind: WriteBehind?
    private let timeBase: Rational
    private let byteCount: Int
    private var timestamps: [Int64] = []
    /// The frames' times, once they are complete.
    private(set) var timeline: Timeline?

    /// - Parameters:
    ///   - width: In pixels.
    ///   - height: In pixels.
    ///   - timeBase: Seconds per tick of the stamps.
    ///   - threads: With more than one, frames are hashed and written beside the one that makes them.
    ///   - stream: Gets every frame too.
    public init(
        _ writer: ArtifactWriter, width: Int, height: Int, timeBase: Rational, threads: Int = 1, stream: FrameStream? = nil
    ) throws {
        self.writer = writer
        self.stream = stream
        behind = threads > 1 && stream == nil ? WriteBehind() : nil
        if behind != nil, threads < 3 { writer.hashInTurn() }
        self.timeBase = timeBase
        byteCount = width * height * 3
        writer.begin("frames", dtype: .u8, elementShape: [height, width, 3])
    }

    /// The number of frames written so far.
    public var count: Int { timestamps.count }

    /// Appends one frame of interleaved RGB bytes, `[height, width, 3]`.
    ///
    /// - Parameter timestamp: Start of the frame in ticks, later than that of the frame before.
    public func append(_ rgb: [UInt8], at timestamp: Int64) throws {
        guard let behind else { return try rgb.withUnsafeBytes { try append($0, at: timestamp) } }
        try note(rgb.count, timestamp)
        try behind.add(rgb, to: writer)
    }

    /// Appends one frame of interleaved RGB bytes, `[height, width, 3]`.
    public func append(_ rgb: UnsafeRawBufferPointer, at timestamp: Int64) throws {
        if behind != nil { return try append([UInt8](rgb), at: timestamp) }
        try note(rgb.count, timestamp)
        try writer.append(rgb)
        try stream?.append(rgb)
    }

    /// Notes that a frame comes.
    private func note(_ count: Int, _ timestamp: Int64) throws {
        precondition(count == byteCount, "a frame of \(byteCount) bytes expected, \(count) found")
        if let last = timestamps.last, timestamp <= last {
            throw NodeError("frame \(timestamps.count) at tick \(timestamp) is not after the one before, at \(last)")
        }
        timestamps.append(timestamp)
    }

    /// Returns when nothing is written any more, since no more frames come.
    func giveUp() { try? behind?.finish() }

    /// Writes stamps and metadata.
    ///
    /// - Parameter end: End of the last frame in ticks.
    public func finish(end: Int64) throws {
        try behind?.finish()
        let timeline = Timeline(timeBase: timeBase, timestamps: timestamps, end: end)
        self.timeline = timeline
        // u8 frames may end at an odd offset; the format packs tensors without gaps, and readers copy unaligned ones.
        try timeline.write(to: writer)
        try writer.set(metadata: FrameStore.Metadata(time: timeline.metadata))
    }
}

/// Decoded film: RGB frames with time stamps.
public struct Video: FrameSequence {
    public static let portType = PortType.video
    public let frames: FrameStore
    public init(frames: FrameStore) { self.frames = frames }
}

/// Control images, one per frame: skeleton lines, head spheres.
public struct Maps: FrameSequence {
    public static let portType = PortType.maps
    public let frames: FrameStore
    public init(frames: FrameStore) { self.frames = frames }
}

extension OutputPort where Value: FrameSequence {
    /// Streams frames; the closure appends them and returns the end of the last one in ticks.
    ///
    /// - Parameter threads: With more than one, frames are hashed and written beside the one that makes them.
    public func write(
        width: Int, height: Int, timeBase: Rational, threads: Int = 1, _ body: (FrameWriter) throws -> Int64
    ) throws {
        try write { writer in
            let frames = try FrameWriter(writer, width: width, height: height, timeBase: timeBase, threads: threads)
            let end: Int64
            do {
                end = try body(frames)
            } catch {
                frames.giveUp()
                throw error
            }
            try frames.finish(end: end)
        }
    }

    /// Streams frames whose times are known beforehand, so that a node that reads them in order may take them at once, without a
    /// file in between.
    ///
    /// - Throws: ``BrokenStream`` when a stream was begun and the frames came at other times; the engine then stores them.
    public func write(
        width: Int, height: Int, expecting timeline: Timeline, threads: Int = 1, _ body: (FrameWriter) throws -> Int64
    ) throws {
        let format = FrameStream.Format(width: width, height: height, timeline: timeline)
        guard let stream = sink.offer?(name, format) else {
            return try write(width: width, height: height, timeBase: timeline.timeBase, threads: threads, body)
        }
        do {
            let path = "\(sink.folder)/\(name).safetensors"
            let writer = try ArtifactWriter(path: path, type: Value.portType, keeps: false)
            let frames = try FrameWriter(writer, width: width, height: height, timeBase: timeline.timeBase, stream: stream)
            try frames.finish(end: try body(frames))
            try sink.finish(name, writer, frames, stream)
        } catch {
            stream.abandon()
            throw error
        }
    }

    /// Whether somebody could take frames while they are made: worth finding out their times beforehand then.
    public var mayStream: Bool { sink.offer != nil }
}
