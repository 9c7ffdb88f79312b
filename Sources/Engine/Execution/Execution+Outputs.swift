import Foundation
import NodeKit

extension Execution {
    /// Puts the graph's outputs where the user looks for them; a file that is already right is left alone. A model becomes a
    /// Hugging Face folder, as inputs of that type take it.
    ///
    /// - Returns: The paths by output name.
    func export() throws -> [String: [String]] {
        guard let base = options.outputFolder else { return [:] }
        let folder = "\(base)/\(graph.name.replacingOccurrences(of: "/", with: "-"))"
        var copies: [(source: Artifact, target: String, configuration: String?)] = []
        var paths: [String: [String]] = [:]
        for output in graph.outputs {
            guard let node = graph.node(output.node) else { continue }
            let count = node.each == nil ? nil : state.counts[node.id] ?? 0
            let instances = count.map { (0..<$0).map { InstanceID(node: node.id, index: $0) } } ?? [InstanceID(node: node.id)]
            for instance in instances {
                guard let port = node.description.output(output.port) else { continue }
                let number = instance.index.map { String(format: "-%03d", $0) } ?? ""
                let results = try (state.values(of: instance, output.port) ?? []).map { ($0.name, value: try store.filed($0.value)) }
                for (index, made) in results.enumerated() {
                    let place = port.type.element == nil ? "" : String(format: "-%03d", index)
                    let name = "\(folder)/\(output.name)\(number)\(place)"
                    let configuration = made.value.type == .model ? try made.value.open().metadata["config"] : nil
                    let suffix = (made.value.path as NSString).pathExtension
                    copies.append((made.value, configuration == nil ? "\(name).\(suffix)" : "\(name)/model.safetensors", configuration))
                    paths[output.name, default: []].append(configuration == nil ? "\(name).\(suffix)" : name)
                }
            }
        }
        guard !copies.isEmpty else { return [:] }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let stale = try store.read { reader in
                try copies.filter { copy in
                    guard FileState(source: copy.target) != nil else { return true }
                    return try reader.outputDigest(copy.target) != copy.source.digest
                }
            }
            for (_, target, configuration) in copies {
                guard let configuration else { continue }
                let folder = URL(fileURLWithPath: target).deletingLastPathComponent()
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                let (text, file) = (Data((configuration + "\n").utf8), folder.appending(path: "config.json"))
                if (try? Data(contentsOf: file)) != text { try text.write(to: file, options: .atomic) }
            }
            for (source, target, _) in stale {
                // Aside first: whoever has the old film open keeps it, and a kill leaves no half of one.
                removeAbandoned(besides: target)
                let temporary = "\(target).\(lease.name)"
                do {
                    try FileManager.default.copyItem(atPath: source.path, toPath: temporary)
                    chmod(temporary, 0o644)
                    // Synced, since the index will say what it holds.
                    guard CacheStore.sync(temporary), rename(temporary, target) == 0 else { throw StoreError.system("cannot write '\(target)'") }
                } catch {
                    unlink(temporary)
                    throw error
                }
            }
            try store.noteOutputs(stale.map { (path: $0.target, digest: $0.source.digest) })
        } catch let error as StoreError {
            throw error
        } catch {
            throw StoreError("cannot write the outputs to '\(folder)': \(StoreError.text(error)); everything is in the cache: run again, or elsewhere with --out")
        }
        return paths
    }

    /// Removes what killed runs left beside an exported file.
    private func removeAbandoned(besides target: String) {
        let (folder, name) = ((target as NSString).deletingLastPathComponent, (target as NSString).lastPathComponent)
        for other in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where other.hasPrefix("\(name).") {
            let run = String(other.dropFirst(name.count + 1))
            if UUID(uuidString: run) != nil, !Lease.isHeld(run, folder: "\(store.root)/active") { unlink("\(folder)/\(other)") }
        }
    }
}

extension StoreReader {
    /// The digest of an artifact that was exported to a path, if the file is still as it was.
    func outputDigest(_ path: String) throws -> Digest? {
        guard let state = FileState(source: path), let row = try source("output:\(path)"),
            row.state == state
        else { return nil }
        return row.digest
    }
}

extension CacheStore {
    /// Remembers what was exported where.
    func noteOutputs(_ outputs: [(path: String, digest: Digest)]) throws {
        var notes = StoreReader.Notes()
        for (path, digest) in outputs {
            if let state = FileState(source: path) { notes.sources.append(("output:\(path)", state, digest)) }
        }
        try write(notes)
    }
}
