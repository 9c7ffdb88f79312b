import ArgumentParser
import Foundation
import Models
import Safetensors
import Tensors
import WholeFiles

extension Precision: ExpressibleByArgument {}

struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Looks into one model, or evaluates it once.", subcommands: [Weights.Show.self, Forward.self])

    struct Forward: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "forward", abstract: "Evaluates a network, scheduler or preprocessor once on named tensors, to check it against another implementation.")
        @Option(help: ArgumentHelp("The model's folder or its safetensors file; or the folder of a scheduler or preprocessor.", valueName: "path"), completion: .directory)
        var model: String
        @Option(help: ArgumentHelp("Safetensors file of named inputs, as diffusers or transformers name them; of Wav2Vec2Model also 'waveform', which is prepared first.", valueName: "file"), completion: .file())
        var inputs: String
        @Option(help: ArgumentHelp("Where the outputs go, under the reference's names.", valueName: "file"), completion: .file()) var output: String
        @Option(
            name: .customLong("lora"),
            help: ArgumentHelp("A LoRA that is added to the weights, with its weight (1 if missing); may be given several times.", valueName: "file[=weight]"))
        var adapters: [AdapterOption] = []
        @Option(help: ArgumentHelp("Weights that may stay in memory, such as 8GB; the rest is read from disk at each use.", valueName: "size"))
        var weightMemory: ByteSize?
        @Option(help: "Numbers of a transformer's large layers: f32, bf16 or int8.") var precision = Precision.f32
        @Option(parsing: .upToNextOption, help: "Numbers of steps for a scheduler whose network is given by 'a' and 'b': a·sample + b·timestep/1000.")
        var steps = [4, 20]
        @Option(help: "Threads to use; as many as there are processors if missing.") var threads: Int?

        func validate() throws {
            if let threads, threads < 1 { throw ValidationError("--threads takes a number from 1, not \(threads)") }
        }

        func run() throws {
            let type = try? FileManager.default.attributesOfItem(atPath: output)[.type] as? FileAttributeType
            guard type == nil || type == .typeRegular || type == .typeSymbolicLink else {
                throw Failure.usage("error: '\(output)' is no file, and would be replaced by one; name another output")
            }
            let started = ContinuousClock.now
            let file = try WholeFile(path: output)
            let adapters = try adapters.map { try LowRankAdapter(path: $0.path, weight: $0.weight) }
            let outputs = try Parallel.$threads.withValue(max(1, threads ?? ProcessInfo.processInfo.activeProcessorCount)) {
                try NetworkEvaluation.evaluate(
                    model: model, adapters: adapters, residentLimit: weightMemory.map { Int($0.bytes) },
                    inputs: SafetensorsFile(path: inputs), precision: precision, steps: steps,
                    note: { printError("note: \(Terminal.plain($0))") })
            }
            let writer = try SafetensorsWriter(path: file.temporary, headerCapacity: 4096 + 256 * outputs.count)
            var table = TextTable()
            do {
                for (name, value) in outputs.sorted(by: { $0.key < $1.key }) {
                    try writer.write(name, value.array, shape: value.shape)
                    table.add(name, "[\(value.shape.map(String.init).joined(separator: ", "))]")
                }
                try writer.finish(sync: false)
            } catch let error as SafetensorsError where error.path == file.temporary {
                throw SafetensorsError(error.code, path: output, error.message)
            }
            try file.commit()
            print(table.text)
            print("\(outputs.count) tensors in \(output), \(durationText((ContinuousClock.now - started) / .seconds(1)))")
        }
    }
}

/// `FILE` or `FILE=WEIGHT`.
struct AdapterOption: ExpressibleByArgument {
    let path: String
    let weight: Float

    init?(argument: String) {
        guard let mark = argument.lastIndex(of: "=") else {
            (path, weight) = (argument, 1)
            return
        }
        guard let weight = Float(argument[argument.index(after: mark)...]), weight.isFinite, mark > argument.startIndex else { return nil }
        path = String(argument[..<mark])
        self.weight = weight
    }
}
