import Foundation
import GraphKit
import WholeFiles

/// What a user set for a store: `config.yaml` in its folder.
public struct StoreSettings: Sendable, Hashable {
    /// After a run, results are removed until the rest is no larger, in bytes; nil: the cache grows.
    public var maxBytes: Int64?

    public init(maxBytes: Int64? = nil) { self.maxBytes = maxBytes }
}

extension CacheStore {
    private var settingsPath: String { "\(root)/config.yaml" }

    /// The store's settings; the defaults where there is no file.
    ///
    /// - Throws: ``StoreError`` with file, line and remedy when the file is wrong.
    public func settings() throws -> StoreSettings {
        guard FileManager.default.fileExists(atPath: settingsPath) else { return StoreSettings() }
        let source: SourceFile
        do {
            source = try SourceFile.read(settingsPath)
        } catch {
            throw StoreError("cannot read '\(settingsPath)': \(error.reason)")
        }
        var diagnostics = Diagnostics()
        guard let root = YAMLParser.parse(source, diagnostics: &diagnostics), !diagnostics.hasErrors else {
            // A file of comments only says nothing.
            guard let first = diagnostics.sorted.first(where: { $0.severity == .error }) else { return StoreSettings() }
            throw StoreError("\(first.range?.description ?? settingsPath): error: \(first.message)")
        }
        if root.isNull { return StoreSettings() }
        let reader = ManifestReader(path: settingsPath)
        do {
            let top = try reader.mapping(root, "a cache's config.yaml")
            try reader.checkKeys(top, ["max-size"])
            var settings = StoreSettings()
            if let size = top["max-size"], !size.isNull {
                guard let bytes = size.scalar.flatMap({ ManifestReader.bytes($0.text) }) else {
                    throw reader.error(size, "'max-size' is written like 20 GB or 500 MiB")
                }
                settings.maxBytes = Int64(bytes)
            }
            return settings
        } catch {
            throw StoreError("\(error)")
        }
    }

    /// Writes the settings.
    ///
    /// - Throws: ``StoreError`` when the file cannot be written.
    public func set(_ settings: StoreSettings) throws {
        let size = settings.maxBytes.map { "\($0)" } ?? "null"
        let text = "# How large the cache may be after a run, for instance 20 GB; null: any size.\nmax-size: \(size)\n"
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: settingsPath), options: .atomic)
        } catch {
            throw StoreError("cannot write '\(settingsPath)': \(SystemReason.text(of: error, withPath: false))")
        }
    }
}
