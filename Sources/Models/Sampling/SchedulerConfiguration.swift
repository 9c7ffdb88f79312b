import Foundation
import Safetensors
import Tensors

/// The `scheduler_config.json` of a published pipeline, as far as flow matching goes.
public struct SchedulerConfiguration: Decodable, Sendable {
    public let className: String
    /// The classes whose steps are known.
    public static let knownClasses = ["UniPCMultistepScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"]
    public let shift: Double
    public let trainingSteps: Int
    public let order: Int
    private let prediction, solver, algorithm: String
    private let usesFlow, predictsClean, usesDynamicShift: Bool
    /// Options that change the levels or the steps, by key, as far as they are set.
    private let others: [String]

    private enum CodingKeys: String, CodingKey {
        case className = "_class_name", shift, flowShift = "flow_shift", trainingSteps = "num_train_timesteps", order = "solver_order"
        case prediction = "prediction_type", solver = "solver_type", algorithm = "algorithm_type", usesFlow = "use_flow_sigmas", predictsClean = "predict_x0"
        case usesDynamicShift = "use_dynamic_shifting"
    }

    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T { try c.decodeIfPresent(T.self, forKey: key) ?? standard }
        className = try c.decode(String.self, forKey: .className)
        // Each class has a key of its own for it, and lets the other's pass unseen.
        shift = try value(className == "FlowMatchEulerDiscreteScheduler" ? .shift : .flowShift, 1.0)
        trainingSteps = try value(.trainingSteps, 1000)
        order = try value(.order, 2)
        prediction = try value(.prediction, "epsilon")
        solver = try value(.solver, className == "DPMSolverMultistepScheduler" ? "midpoint" : "bh2")
        algorithm = try value(.algorithm, "dpmsolver++")
        usesFlow = try value(.usesFlow, false)
        predictsClean = try value(.predictsClean, true)
        usesDynamicShift = try value(.usesDynamicShift, false)
        let known: [String: Other] = [
            "use_karras_sigmas": .flag(false), "use_exponential_sigmas": .flag(false), "use_beta_sigmas": .flag(false), "thresholding": .flag(false),
            "invert_sigmas": .flag(false), "stochastic_sampling": .flag(false), "lower_order_final": .flag(true), "final_sigmas_type": .text("zero"),
            "disable_corrector": .list, "shift_terminal": .missing, "use_lu_lambdas": .flag(false), "euler_at_final": .flag(false),
        ]
        let options = try [String: Other](from: decoder)
        others = known.compactMap { key, wanted in options[key].flatMap { $0 == wanted || $0 == .missing ? nil : key } }.sorted()
    }

    /// A value of no further interest than whether it is the one that is known.
    private enum Other: Decodable, Equatable {
        case flag(Bool), text(String), list, missing, something

        init(from decoder: any Decoder) throws {
            let c = try decoder.singleValueContainer()
            if c.decodeNil() {
                self = .missing
            } else if let flag = try? c.decode(Bool.self) {
                self = .flag(flag)
            } else if let text = try? c.decode(String.self) {
                self = .text(text)
            } else if let list = try? c.decode([Int].self) {
                self = list.isEmpty ? .list : .something
            } else {
                self = .something
            }
        }
    }

    /// Reads the configuration of a scheduler's folder.
    ///
    /// - Throws: `WeightError` when there is none, or it asks for what is not known.
    public init(folder: String) throws {
        let path = "\(folder)/scheduler_config.json"
        do {
            // Python writes infinities (`lambda_min_clipped`), which JSON has not.
            var text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
            for number in ["-Infinity", "Infinity", "NaN"] { text = text.replacingOccurrences(of: ": \(number)", with: ": null") }
            self = try JSONDecoder().decode(Self.self, text: Data(text.utf8))
        } catch {
            throw WeightError(path: path, "is not a scheduler's configuration: \(JSONDecoder.words(error))")
        }
        func refuse(_ message: String) -> WeightError { WeightError(path: path, message) }
        guard shift > 0, shift.isFinite, (1...1_000_000).contains(trainingSteps), (1...3).contains(order) else {
            throw refuse("the shift must be above 0, num_train_timesteps within 1 … 1000000, solver_order 1, 2 or 3")
        }
        guard others.isEmpty else { throw refuse("\(others.map { "'\($0)'" }.joined(separator: ", ")): only the standard values are known") }
        guard !usesDynamicShift else { throw refuse("use_dynamic_shifting is not known") }
        if className == "UniPCMultistepScheduler" {
            guard prediction == "flow_prediction", usesFlow, predictsClean, solver == "bh2" else {
                throw refuse("prediction_type flow_prediction, use_flow_sigmas, predict_x0 and solver_type bh2 are known of UniPC")
            }
        }
        if className == "DPMSolverMultistepScheduler" {
            guard prediction == "flow_prediction", usesFlow, algorithm == "dpmsolver++", solver == "midpoint", order == 2 else {
                throw refuse("prediction_type flow_prediction, use_flow_sigmas, algorithm_type dpmsolver++, solver_type midpoint and solver_order 2 are known of DPM-Solver")
            }
        }
    }
}
