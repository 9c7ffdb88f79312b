import Foundation
import Models
import NodeKit
import Tensors

/// A folder without a network that belongs to a pipeline: a scheduler, a tokenizer, or what prepares pictures.
struct ModelSettings {
    let className: String
    /// What it does, for people.
    let summary: String
    /// The file that says so.
    let file: String

    /// What a folder holds besides networks, as `model forward` and the nodes see it; nil if that is nothing.
    init?(folder: String) throws {
        func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(folder)/\(name)") }
        if exists("scheduler_config.json") {
            file = "\(folder)/scheduler_config.json"
            className = try Self.className(file)
            do {
                let scheduler = try SchedulerConfiguration(folder: folder)
                summary = !SchedulerConfiguration.knownClasses.contains(className)
                    ? "scheduler, which is not known; \(SchedulerConfiguration.knownClasses.joined(separator: ", ")) are"
                    : "scheduler: flow matching with shift \(scheduler.shift), \(scheduler.trainingSteps) timesteps"
                    + (className == "FlowMatchEulerDiscreteScheduler" ? "" : ", order \(scheduler.order)")
            } catch let error as WeightError {
                summary = "scheduler, which cannot be used: \(error.message)"
            }
        } else if !exists("config.json"), exists("preprocessor_config.json") {
            file = "\(folder)/preprocessor_config.json"
            className = try Self.className(file)
            do {
                _ = try CLIPImageProcessor(folder: folder)
                summary = "prepares pictures"
            } catch let error as WeightError {
                summary = "prepares pictures, but cannot be used: \(error.message)"
            }
        } else if !exists("config.json"), ["tokenizer.json", "tokenizer_config.json", "spiece.model"].contains(where: exists) {
            file = "\(folder)/\(exists("tokenizer_config.json") ? "tokenizer_config.json" : "tokenizer.json")"
            className = (exists("tokenizer_config.json") ? try Self.className(file) : nil) ?? "tokenizer"
            do {
                summary = "tokenizer of \(try Tokenizer(folder: folder).pieceCount) pieces"
            } catch let error as WeightError {
                summary = exists("tokenizer.json") ? "tokenizer, which cannot be used: \(error.message)" : "tokenizer without tokenizer.json, which text needs"
            }
        } else if let canvas = PreprocessingEvaluation.wanAnimateCanvas(folder) {
            file = "\(folder)/config.json"
            className = "Wan-Animate"
            summary = "prepares films of \(canvas.width)×\(canvas.height) and faces of \(canvas.motion_encoder_size) pixels"
        } else {
            return nil
        }
    }

    private static func object(_ file: String) throws -> [String: Any]? {
        guard let data = FileManager.default.contents(atPath: file) else { throw NodeError("cannot read '\(file)'") }
        return try? JSONSerialization.jsonObject(with: data) as? [String: Any]
    }

    /// The class that a file of settings names.
    private static func className(_ file: String) throws -> String {
        let object = try object(file)
        let keys = ["_class_name", "image_processor_type", "feature_extractor_type", "tokenizer_class", "processor_class"]
        return keys.lazy.compactMap { object?[$0] as? String }.first ?? "no class name"
    }

    private static func index(ofPipeline folder: String) -> String? {
        ["model_index.json", "modular_model_index.json"].map { "\(folder)/\($0)" }.first(where: FileManager.default.fileExists)
    }

    /// The class of a pipeline; nil where there is no index.
    static func className(ofPipeline folder: String) throws -> String? { try index(ofPipeline: folder).map(className) }

    /// The parts that a pipeline's index lists, in name order, with their classes; nil where there is no index.
    static func parts(ofPipeline folder: String) throws -> [(name: String, className: String)]? {
        guard let file = index(ofPipeline: folder) else { return nil }
        guard let index = try object(file) else { throw NodeError("\(file): is not a pipeline's index: a JSON object expected") }
        // A part is given by library and class, ours by the class alone; other entries are settings, parts without a class are left out.
        return index.sorted { $0.key < $1.key }.compactMap { name, value in
            guard !name.hasPrefix("_") else { return nil }
            let words = value as? [Any] ?? (FileManager.default.fileExists(atPath: "\(folder)/\(name)") ? ["", value] : [])
            return words.count >= 2 ? (words[1] as? String).map { (name, $0) } : nil
        }
    }
}
