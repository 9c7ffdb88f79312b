import Foundation
import Locking
import WholeFiles

/// Where a running node's outputs go: a folder of temporary files that the engine takes over when the node is done.
public final class OutputSink: Sendable {
    /// An output that was written and closed.
    public struct Written: Sendable, Hashable {
        public let path: String
        public let type: PortType
        public let digest: Digest
        /// The whole file of a small artifact, which then is not at ``path``.
        public let contents: [UInt8]?
        /// How many bytes went to others frame by frame instead of into the file, which is not there then; else nil.
        public let streamedBytes: Int64?

        public init(
            path: String, type: PortType, digest: Digest, contents: [UInt8]? = nil, streamedBytes: Int64? = nil
        ) {
            self.path = path
            self.type = type
            self.digest = digest
            self.contents = contents
            self.streamedBytes = streamedBytes
        }
    }

    /// Takes frames off a node's hands while it makes them: gives the stream to put them in, or nil to have them stored.
    public typealias Offer = @Sendable (_ port: String, _ format: FrameStream.Format) -> FrameStream?

    /// The folder that temporary files are created in; made when the first is.
    public let folder: String
    private let syncs: Bool
    private let inlineLimit: Int
    private let threads: Int
    let offer: Offer?
    private let written = Locked<[String: Written]>([:])
    private let lists = Locked<Set<String>>([])

    /// - Parameters:
    ///   - syncs: Whether files are synced to disk when they are finished.
    ///   - inlineLimit: Safetensors artifacts of fewer bytes are kept in memory instead of in files.
    ///   - threads: The node's own; with more than one, large values are hashed beside being written.
    ///   - offer: Asked when a node is about to write frames whose times it knows; nil: all are stored.
    public init(folder: String, syncs: Bool = true, inlineLimit: Int = 0, threads: Int = 1, offer: Offer? = nil) {
        self.folder = folder
        self.syncs = syncs
        self.inlineLimit = inlineLimit
        self.threads = threads
        self.offer = offer
    }

    public func isWritten(_ port: String) -> Bool { written.withLock { $0[port] != nil } || lists.withLock { $0.contains(port) } }

    /// The outputs written so far, by port; the elements of a list as `port[0]`, `port[1]`, ….
    public var results: [String: Written] { written.withLock { $0 } }

    /// The path to write a port's artifact to.
    public func path(for port: String, extension suffix: String = "safetensors") throws -> String {
        try makeFolder()
        return "\(folder)/\(port).\(suffix)"
    }

    private func makeFolder() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    /// Begins an artifact for a port.
    public func makeWriter(_ port: String, type: PortType, headerCapacity: Int = 4096) throws -> ArtifactWriter {
        try ArtifactWriter(
            path: "\(folder)/\(port).safetensors", type: type, headerCapacity: headerCapacity, threads: threads,
            willCreate: makeFolder)
    }

    /// Finishes an artifact that ``makeWriter(_:type:headerCapacity:)`` began.
    public func finish(_ port: String, _ writer: ArtifactWriter) throws {
        try writer.checkFinite(port: port)
        let file = try writer.finish(sync: syncs, inMemoryBelow: writer.type.isUsedByPath ? 0 : inlineLimit)
        written.withLock {
            $0[port] = Written(path: writer.path, type: writer.type, digest: file.digest, contents: file.contents)
        }
    }

    /// Ends a stream: checks that its frames came as announced, and notes their digest.
    func finish(_ port: String, _ writer: ArtifactWriter, _ frames: FrameWriter, _ stream: FrameStream) throws {
        let digest = try writer.finish(sync: false)
        try stream.finish(frames.timeline)
        let bytes = Int64(stream.format.byteCount)
        written.withLock {
            $0[port] = Written(path: writer.path, type: writer.type, digest: digest, streamedBytes: bytes)
        }
    }

    /// Notes that all elements of a list were written.
    func finish(list port: String) { lists.withLock { _ = $0.insert(port) } }

    /// Sees that what lies at an output's path is a file of its own: what a program linked there is copied, since the cache sets the mode
    /// of what it keeps, and whoever writes to the other name would change it.
    ///
    /// - Returns: False when there is nothing.
    /// - Throws: ``NodeError`` when it is no file.
    public func own(_ port: String, path: String) throws -> Bool {
        var status = stat()
        guard lstat(path, &status) == 0 else { return false }
        if status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1 { return true }
        guard stat(path, &status) == 0 else { throw NodeError("its output '\(port)' ('\(path)') is a link to nothing; a file is expected") }
        let kinds: [mode_t: String] = [S_IFDIR: "a folder", S_IFIFO: "a named pipe", S_IFSOCK: "a socket", S_IFCHR: "a device", S_IFBLK: "a device"]
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw NodeError("its output '\(port)' ('\(path)') is \(kinds[status.st_mode & S_IFMT] ?? "no file"); a file is expected")
        }
        let copy = "\(path).copy"
        do {
            try FileManager.default.copyItem(atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path, toPath: copy)
        } catch {
            throw NodeError("its output '\(port)' is a link, and what it leads to cannot be copied: \(SystemReason.text(of: error))")
        }
        guard rename(copy, path) == 0 else { throw NodeError("cannot write '\(path)': \(SystemReason.text(errno))") }
        return true
    }

    /// Takes a finished file (raw bytes for `file`, a safetensors artifact otherwise) as a port's output. It must lie in ``folder``.
    public func adopt(_ port: String, path: String, type: PortType) throws {
        guard try own(port, path: path) else { throw NodeError("its output '\(port)' was not written to '\(path)'") }
        let digest = try Artifact.digest(ofFile: path, isTensorFile: path.hasSuffix(".safetensors"))
        if path.hasSuffix(".safetensors") { try FiniteCheck.check(path: path, type: type, what: "output '\(port)'") }
        if syncs, let handle = FileHandle(forUpdatingAtPath: path) {
            try handle.synchronize()
            try handle.close()
        }
        written.withLock { $0[port] = Written(path: path, type: type, digest: digest) }
    }
}

/// The writing end of an output port: what `$name` of an `@Output` gives.
public struct OutputPort<Value: PortOutput>: Sendable {
    let name: String
    let sink: OutputSink
}

extension OutputPort where Value: PortValue {
    /// Streams an artifact: the closure begins tensors, appends to them and sets metadata.
    ///
    /// - Parameter headerCapacity: Bytes to reserve for the header: raise it when the metadata is long.
    public func write<R>(headerCapacity: Int = 4096, _ body: (ArtifactWriter) throws -> R) throws -> R {
        let writer = try sink.makeWriter(name, type: Value.portType, headerCapacity: headerCapacity)
        let result = try body(writer)
        try sink.finish(name, writer)
        return result
    }
}

extension OutputPort {
    /// Writes the elements of a list one after another.
    ///
    /// - Parameter body: Writes the element of a number to its port.
    public func write<Element: PortValue>(
        count: Int, _ body: (_ index: Int, _ port: OutputPort<Element>) throws -> Void
    ) throws where Value == [Element] {
        for index in 0..<count {
            let element = OutputPort<Element>(name: "\(name)[\(index)]", sink: sink)
            try body(index, element)
            guard sink.isWritten(element.name) else { throw NodeError("element \(index) of '\(name)' was not written") }
        }
        sink.finish(list: name)
    }

    /// Writes a list in one piece.
    public func set<Element: WritableValue>(_ values: [Element]) throws where Value == [Element] {
        try write(count: values.count) { try $1.set(values[$0]) }
    }
}

extension OutputPort where Value: WritableValue {
    /// Writes a value in one piece.
    public func set(_ value: Value) throws { try write(headerCapacity: 16_384) { try value.write(to: $0) } }
}

extension OutputPort where Value == File {
    /// Writes raw bytes to a path with the given extension; the closure creates the file there.
    ///
    /// - Parameter suffix: The file name extension, for instance `mp4`.
    public func write(extension suffix: String, _ body: (_ path: String) throws -> Void) throws {
        let path = try sink.path(for: name, extension: suffix)
        try body(path)
        try sink.adopt(name, path: path, type: .file)
    }
}
