@testable import Engine
import Foundation
@testable import GraphKit
@testable import Media
import NodeCatalog
import NodeKit
import Perception
import Safetensors

/// What reads a kind of file that a user may have from anywhere.
///
/// It may refuse anything; it may not trap, hang, or allocate far more than it was given.
final class Reader {
    enum Kind: String, CaseIterable, Sendable {
        case graph, overlay, safetensors, manifest, message, openpose, npz, bvh, archive, picture
    }

    let kind: Kind
    /// A folder for readers that want files.
    let scratch: String
    private let catalogue = Dictionary(uniqueKeysWithValues: NodeCatalog.definitions.map { ($0.description.type, $0.description) })

    init(_ kind: Kind) throws {
        self.kind = kind
        scratch = FileManager.default.temporaryDirectory.appending(path: "fuzz-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
    }

    func removeScratch() { try? FileManager.default.removeItem(atPath: scratch) }

    /// Bytes of heap that an input of so many may make it hold: ten times as many, and above all what it holds at all, such as buffers of
    /// libraries; zstd alone takes a window of up to 128 MiB. FUZZ_CONSTANT=0 shows that more is noticed.
    func heapLimit(_ count: Int) -> Int { 10 * count + constant }
    private lazy var constant = ProcessInfo.processInfo.environment["FUZZ_CONSTANT"].flatMap(Int.init) ?? (kind == .archive ? 160 : 16) << 20

    /// Reads bytes, and traps if that took more than a second; one that never ends is ended after ten. Both are processor time, the second
    /// of this thread, which neither a busy machine nor a frozen process lengthens.
    func readInTime(_ bytes: [UInt8]) {
        signal(SIGPROF) { _ in abort() }
        var limit = itimerval(it_interval: timeval(), it_value: timeval(tv_sec: 10, tv_usec: 0))
        setitimer(__itimer_which_t(UInt32(ITIMER_PROF.rawValue)), &limit, nil)
        let begin = Self.cpuSeconds()
        try? read(bytes)
        let seconds = Self.cpuSeconds() - begin
        guard seconds < 1 else { fatalError("\(bytes.count) bytes took the reader \(seconds) s") }
    }

    private static func cpuSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    private func parse(_ bytes: [UInt8]) -> (syntax: GraphSyntax?, diagnostics: Diagnostics) {
        var diagnostics = Diagnostics()
        let file = SourceFile(name: "g.yaml", directory: URL(fileURLWithPath: scratch), bytes: bytes)
        return (GraphSyntax.parse(file, diagnostics: &diagnostics), diagnostics)
    }

    /// Writes the bytes where readers of files find them.
    private func file(_ bytes: [UInt8], _ name: String) throws -> String {
        let path = "\(scratch)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// - Throws: Whatever the reader says of the bytes.
    func read(_ bytes: [UInt8]) throws {
        switch kind {
        case .graph:
            var (syntax, diagnostics) = parse(bytes)
            if let syntax { _ = Graph.check(syntax, catalogue: catalogue, options: .init(checksFiles: false), diagnostics: &diagnostics) }
        case .overlay:
            // The first part is the graph, the rest lies over it.
            let cut = bytes.firstIndex(of: 0) ?? bytes.count / 2
            let base = try file(Array(bytes[..<cut]), "base.yaml")
            let over = try file(Array(bytes[cut...].dropFirst()), "over.yaml")
            var options = GraphCheckOptions()
            options.checksFiles = false
            _ = Graph.load(GraphRequest(path: base, overlays: [over]), catalogue: catalogue, options: options)
        case .safetensors:
            let file = try SafetensorsFile(path: file(bytes, "x.safetensors"))
            for info in file.tensors.values { file.withBytes(info) { _ = $0.count } }
            _ = try ValueCatalog.open(Artifact(type: PortType(file.metadata[Artifact.typeKey] ?? "tensor"), path: "\(scratch)/x.safetensors", digest: Digest.of("")))
        case .manifest: _ = try ExternalManifest(file: file(bytes, "node.yaml"))
        case .message: _ = ExternalMessage(String(decoding: bytes, as: UTF8.self))
        case .openpose:
            _ = try? KeypointFiles.openPose([("x.json", Data(bytes))], times: [0], width: 640, height: 480)
            _ = try KeypointFiles.cocoWholeBody(Data(bytes), name: "x.json", rate: 25, size: (640, 480))
        case .npz:
            let archive = try NumpyArchive(path: file(bytes, "x.npz"))
            for name in archive.names.prefix(50) { _ = try archive.array(name) }
        case .bvh: _ = try BVH.track(String(decoding: bytes, as: UTF8.self), name: "x.bvh", unit: nil, width: 640, height: 480)
        case .archive:
            let reader = try ArchiveReader(path: file(bytes, "x.tar"))
            while let entry = try reader.next() { _ = try entry.data(limit: 1 << 20) }
        // Ours alone: what decodes is FFmpeg.
        case .picture: if let kind = PictureStructure.Kind(head: Array(bytes.prefix(12))) { _ = PictureStructure(kind, bytes) }
        }
    }
}
