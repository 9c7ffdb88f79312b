import ArgumentParser
import Foundation
import Models
import NodeKit
import Safetensors
import Tensors

struct Weights: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weights", abstract: "Looks into model folders: configuration, tensors, soundness.", subcommands: [List.self, Show.self, Verify.self],
        defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "Lists the models in a folder.")
        @Argument(help: "A folder of model folders.", completion: .directory) var folder = "Examples/models"

        func run() throws {
            var table = TextTable()
            table.rightAligned = [2, 3]
            var damaged: [String] = []
            for name in try contents(of: folder) {
                let path = "\(folder)/\(name)"
                // What holds no model at all is not listed; one that cannot be read is, with the reason.
                guard (try? ModelFolder.files(at: path).contains { $0.hasSuffix(".safetensors") }) ?? false else { continue }
                do {
                    let model = try Model(path: path), pipeline = try ModelSettings.className(ofPipeline: path)
                    table.add(name, pipeline ?? model.className, "\(model.parameterCount) parameters", byteText(model.byteCount))
                } catch {
                    damaged.append("\(name): \(error)")
                }
            }
            print(table.text.isEmpty && damaged.isEmpty ? "no models in '\(folder)'" : ((table.text.isEmpty ? [] : [table.text]) + damaged).joined(separator: "\n"))
        }

        private func contents(of folder: String) throws -> [String] {
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
                throw Failure.usage("error: cannot read the folder '\(folder)'; name a folder that holds model folders")
            }
            return names.sorted()
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "show", abstract: "Shows a model's configuration and tensors, or the networks of a pipeline.")
        @Argument(help: "A model folder, a pipeline folder or a safetensors file.", completion: .file()) var path: String
        @Option(help: ArgumentHelp("Frames of a film for which memory is estimated.", valueName: "frames")) var frames = 77
        @Option(help: ArgumentHelp("Its size in pixels; 1280x720 or what is next below if missing.", valueName: "WIDTHxHEIGHT")) var size: PixelSize?

        func validate() throws {
            guard (1...1_000_000).contains(frames) else { throw ValidationError("--frames takes a number from 1 to 1000000, not \(frames)") }
        }

        func run() throws {
            if let settings = try ModelSettings(folder: path) {
                print("\(Terminal.output.bold(settings.className))  \(Terminal.plain(settings.summary))")
                print(Terminal.plain(try String(contentsOfFile: settings.file, encoding: .utf8)))
            } else if let parts = try ModelSettings.parts(ofPipeline: path) {
                try show(pipeline: parts)
            } else {
                try showModel()
            }
        }

        /// A line for each part of a pipeline.
        private func show(pipeline parts: [(name: String, className: String)]) throws {
            var table = TextTable(), others = TextTable(), networks: [String] = []
            table.rightAligned = [2, 3, 4]
            var (disk, memory) = (0, 0)
            for (name, className) in parts {
                let folder = "\(path)/\(name)"
                if let settings = try ModelSettings(folder: folder) {
                    others.add(name, settings.className, Terminal.plain(settings.summary))
                    continue
                }
                let (store, model): (WeightStore, Model)
                do {
                    (store, model) = (try WeightStore(path: folder), try Model(path: folder))
                    try model.checkConfiguration()
                } catch where error is WeightError || error is NodeError {
                    others.add(name, className, Terminal.plain("\(error)"))
                    continue
                }
                let estimate = try estimate(store)
                let weights = estimate?.weights ?? 4 * model.parameterCount
                table.add(
                    name, (try? store.className()) ?? model.className, "\(store.parameterCount) parameters", "\(byteText(model.byteCount)) on disk",
                    "\(byteText(weights)) in single precision", estimate?.streamed.map { "or \(byteText($0)), layers from disk" } ?? "")
                (disk, memory) = (disk + model.byteCount, memory + weights)
                networks.append(folder)
            }
            let lists = [table.text, others.text].filter { !$0.isEmpty }
            print(lists.isEmpty ? "the index of '\(path)' lists no parts" : lists.joined(separator: "\n"))
            guard let last = networks.last else { return }
            print("\(byteText(disk)) on disk, \(byteText(memory)) in single precision; 'understudy model show \(last)' tells more of one")
        }

        /// Nil when it cannot be foretold for networks of this class.
        private func estimate(_ store: WeightStore) throws -> MemoryEstimate? {
            let usual = PixelSize(1280, 720)
            do {
                return try MemoryEstimate(store, frames: frames, width: size?.width ?? usual.width, height: size?.height ?? usual.height)
            } catch let error as MemoryEstimate.SizeError {
                if size != nil { throw Failure.usage("error: --size: \(error)") }
                let (x, y) = error.multiples
                return try? MemoryEstimate(store, frames: frames, width: usual.width / x * x, height: usual.height / y * y)
            } catch {
                return nil
            }
        }

        private func showModel() throws {
            // The store also finds what single files cannot show: missing shards, tensors that are there twice.
            let store = try WeightStore(path: path)
            let model = try Model(path: path)
            try model.checkConfiguration()
            let estimate = try estimate(store)
            print("\(Terminal.output.bold((try? store.className()) ?? model.className))  \(store.parameterCount) parameters, \(byteText(model.byteCount)) on disk")
            print("stored as \(store.storedTypes.map { "\($0.type): \($0.tensors) tensors, \(byteText($0.bytes))" }.joined(separator: "; "))")
            if let estimate {
                print("memory: \(byteText(estimate.weights)) of weights in single precision\(estimate.streamed.map { ", \(byteText($0)) where layers are read from disk as needed" } ?? "")")
                if let (bytes, subject) = estimate.activations { print("        about \(byteText(bytes)) of activations for \(subject)") }
            } else {
                print("memory: \(byteText(4 * store.parameterCount)) of weights in single precision")
            }
            if let config = model.config { print(config) }
            var table = TextTable()
            for info in model.files.flatMap(\.tensors.values).sorted(by: { $0.name < $1.name }) where store.contains(info.name) {
                table.add(info.name, info.dtype.rawValue, "[\(info.shape.map(String.init).joined(separator: ", "))]")
            }
            print(table.text)
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "verify", abstract: "Checks that a model's files are whole and all its numbers finite.")
        @Argument(help: "A model folder or a safetensors file.", completion: .file()) var path: String

        func run() throws {
            let model = try Model(path: path)
            var problems: [String] = []
            for file in model.files {
                for info in file.tensors.values.sorted(by: { $0.name < $1.name }) {
                    let bad = file.withBytes(info) { Self.nonFinite($0, info.dtype) }
                    if bad > 0 { problems.append("\(file.file.path): tensor '\(info.name)' has \(bad) of \(info.count) values that are not finite") }
                }
            }
            guard problems.isEmpty else { throw Failure.node(problems.map { "error: \($0)" }.joined(separator: "\n")) }
            print("\(path): \(model.files.flatMap(\.tensors).count) tensors, all whole and finite")
        }

        /// How many numbers are infinite or not a number: those whose exponent bits are all ones.
        private static func nonFinite(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> Int {
            func count<T: FixedWidthInteger>(_ type: T.Type, mask: T) -> Int {
                stride(from: 0, to: bytes.count, by: MemoryLayout<T>.size).reduce(0) {
                    $0 + (bytes.loadUnaligned(fromByteOffset: $1, as: T.self) & mask == mask ? 1 : 0)
                }
            }
            return switch dtype {
            case .f32: count(UInt32.self, mask: 0x7f80_0000)
            case .f64: count(UInt64.self, mask: 0x7ff0_0000_0000_0000)
            case .bf16: count(UInt16.self, mask: 0x7f80)
            case .f16: count(UInt16.self, mask: 0x7c00)
            case .f8e4m3: count(UInt8.self, mask: 0x7f)
            case .f8e5m2: count(UInt8.self, mask: 0x7c)
            case .f8e8m0: count(UInt8.self, mask: 0xff)
            default: 0
            }
        }
    }
}

/// The files of a model.
private struct Model {
    let files: [SafetensorsFile]
    let config: String?
    /// The file that it is in.
    let configPath: String

    init(path: String) throws {
        let paths = try ModelFolder.files(at: path)
        files = try paths.filter { $0.hasSuffix(".safetensors") }.map { try SafetensorsFile(path: $0) }
        guard !files.isEmpty else { throw NodeError("'\(path)' holds no safetensors files") }
        if let file = paths.first(where: { $0.hasSuffix("/config.json") }) {
            config = try String(contentsOfFile: file, encoding: .utf8)
            configPath = file
        } else {
            config = files.lazy.compactMap { $0.metadata["config"] }.first
            configPath = path
        }
    }

    private var configuration: [String: Any]? {
        config.flatMap { try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] }
    }

    /// - Throws: When there is a configuration that cannot be read.
    func checkConfiguration() throws {
        if config != nil, configuration == nil { throw NodeError("\(configPath): the configuration is not whole: a JSON object expected") }
    }

    var className: String {
        guard config != nil else { return "no configuration" }
        guard let object = configuration else { return "broken configuration" }
        return object["_class_name"] as? String ?? (object["architectures"] as? [String])?.first ?? "no class name"
    }

    var parameterCount: Int { files.flatMap(\.tensors.values).reduce(0) { $0 + $1.count } }
    var byteCount: Int { files.reduce(0) { $0 + $1.file.byteCount } }
}

extension WeightStore {
    fileprivate var parameterCount: Int { names.reduce(0) { $0 + (shape($1) ?? []).reduce(1, *) } }
}

extension PixelSize: ExpressibleByArgument {
    public init?(argument: String) { self.init(literal: .string(argument)) }
}
