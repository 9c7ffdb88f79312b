import ArgumentParser
import Engine

/// Where the cache is.
struct StoreOptions: ParsableArguments {
    @Option(name: .customLong("cache"), help: ArgumentHelp("The cache folder; else UNDERSTUDY_CACHE, else .understudy here.", valueName: "folder"), completion: .directory)
    var cache: String?

    func validate() throws {
        if cache == "" { throw ValidationError("--cache is empty; name a folder, or leave it out") }
    }

    var root: String { CacheStore.defaultRoot(option: cache) }

    /// Where environments of external nodes are made.
    var environments: String { CacheStore.environments(root: root) }

    /// Opens the cache to look things up; where there is none, none is made.
    func open() throws -> CacheStore {
        let store = try usable { try CacheStore(reading: root) }
        if !store.keepsNotes { printError("note: the disk of the cache '\(store.root)' is full: what is learnt now is not kept") }
        return store
    }

    /// Opens the cache to put things in, making it if there is none.
    func make() throws -> CacheStore { try usable { try CacheStore(root: root) } }

    private func usable(_ open: () throws -> CacheStore) throws -> CacheStore {
        do {
            return try open()
        } catch let error as StoreError {
            throw Failure.usage("error: \(error)")
        }
    }
}

/// What all commands that run or plan a graph share.
struct ExecutionOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Makes only this: a node, a port, instances ('film', 'skeleton.pose', 'animate[3]', 'animate[1...3]'), or those that touch frames ('animate[@24..<48]'); may be repeated.", valueName: "node"))
    var to: [String] = []

    @Option(help: ArgumentHelp("Runs a node, a port's node or instances again, and everything that depends on them.", valueName: "node"))
    var from: [String] = []

    @Option(help: ArgumentHelp("Runs a node or instances again; what follows only if they make something else.", valueName: "node"))
    var force: [String] = []

    @Option(help: "Threads that all nodes may use together; as many as there are processors if missing.")
    var threads: Int?

    @Option(help: ArgumentHelp("Memory that all nodes may use together, for instance 8G; three quarters of the machine's if missing.", valueName: "size"))
    var memory: ByteSize?

    @Option(help: ArgumentHelp("Films and maps larger than this, uncompressed, are handed on frame by frame instead of being cached, where all nodes that take them work frame by frame; 4Gi if missing.", valueName: "size"))
    var streamAbove: ByteSize?

    @OptionGroup var numerics: NumericOptions

    func validate() throws {
        if let threads, threads < 1 { throw ValidationError("--threads takes a number from 1, not \(threads)") }
    }
}

/// A size in bytes: `20G`, `512M`, `1.5GiB`.
struct ByteSize: ExpressibleByArgument {
    let bytes: Int

    init?(argument: String) {
        let digits = argument.prefix { $0.isNumber || $0 == "." }
        let units: [String: Double] = ["": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 1024, "mi": 1_048_576, "gi": 1_073_741_824, "ti": 1_099_511_627_776]
        var unit = argument.dropFirst(digits.count).lowercased()
        if unit.hasSuffix("b") { unit.removeLast() }
        guard let number = Double(digits), let factor = units[unit], number * factor < 9e18 else { return nil }
        bytes = Int(number * factor)
    }
}
