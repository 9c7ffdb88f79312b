import Foundation
import Safetensors
import Tensors

/// Steps of a scheduler on given network outputs, or on those of a linear network.
struct SchedulerEvaluation {
    private let path: String
    private let configuration: SchedulerConfiguration

    static func isScheduler(_ path: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/scheduler_config.json") }

    init(_ path: String) throws {
        self.path = path
        configuration = try SchedulerConfiguration(folder: path)
    }

    /// `noise` (the first sample) and `model_outputs` `[steps, …]` → `sigmas`, `timesteps` and `samples` `[steps + 1, …]`; or `noise` and numbers
    /// `a` and `b`, which stand for the network a·sample + b·timestep/1000 → the same and `model_outputs`, under `stepsN.` for every number of steps.
    func evaluate(_ inputs: SafetensorsFile, steps: [Int]) throws -> [String: Tensor] {
        try NetworkEvaluation.allow(["noise", "model_outputs", "a", "b"], in: inputs, configuration.className)
        let noise = try Tensor(inputs, "noise")
        guard noise.count > 0 else { throw SafetensorsError(.mismatch, path: inputs.file.path, "'noise' \(noise.shape) is empty") }
        guard inputs.tensors["model_outputs"] == nil, inputs.tensors["a"] != nil, inputs.tensors["b"] != nil else {
            let velocities = try Tensor(inputs, "model_outputs", shape: [-1] + noise.shape)
            guard velocities.shape[0] > 0 else { throw SafetensorsError(.mismatch, path: inputs.file.path, "'model_outputs' has no steps") }
            return try run(noise, steps: velocities.shape[0]) { velocities.selected(0, $0) }.filter { $0.key != "model_outputs" }
        }
        let a = try Tensor(inputs, "a", shape: [1])[0], b = try Tensor(inputs, "b", shape: [1])[0]
        var outputs: [String: Tensor] = [:]
        for count in steps {
            guard (1...1000).contains(count) else { throw WeightError(path: path, "\(count) steps; 1 … 1000 are possible") }
            let results = try run(noise, steps: count) { _, sample, timestep in sample * a + b * (timestep / 1000) }
            for (name, value) in results { outputs["steps\(count).\(name)"] = value }
        }
        return outputs
    }

    private func run(_ noise: Tensor, steps: Int, _ velocity: (Int) -> Tensor) throws -> [String: Tensor] {
        try run(noise, steps: steps) { step, _, _ in velocity(step) }
    }

    /// - Parameter velocity: The network: `(step, sample, timestep)`.
    private func run(_ noise: Tensor, steps: Int, _ velocity: (Int, Tensor, Float) -> Tensor) throws -> [String: Tensor] {
        let schedule: PublishedSchedule
        var samples = [noise], velocities: [Tensor] = []
        func network(_ step: Int, _ timestep: Float) -> Tensor {
            velocities.append(velocity(step, samples[step], timestep))
            return velocities[step]
        }
        switch configuration.className {
        case "UniPCMultistepScheduler":
            schedule = .unipc(steps: steps, shift: configuration.shift, trainingSteps: configuration.trainingSteps)
            let sampler = UniPCSampler(schedule: schedule, order: configuration.order)
            var state = UniPCSampler.State(sample: noise.array)
            while !sampler.isFinished(state) {
                let step = state.step
                sampler.advance(&state) { _, timestep in network(step, timestep).array }
                samples.append(Tensor(state.sample, noise.shape))
            }
        case "FlowMatchEulerDiscreteScheduler":
            schedule = .flowMatchEuler(steps: steps, shift: configuration.shift, trainingSteps: configuration.trainingSteps)
            for step in 0..<steps {
                samples.append(samples[step] + network(step, schedule.timesteps[step]) * (schedule.sigmas[step + 1] - schedule.sigmas[step]))
            }
        case "DPMSolverMultistepScheduler":
            schedule = .dpmSolver(steps: steps, shift: configuration.shift, trainingSteps: configuration.trainingSteps)
            let sampler = FlowSampler(schedule: FlowSchedule(schedule), solver: .dpmpp2m)
            var state = FlowSampler.State(sample: noise.array)
            while !sampler.isFinished(state) {
                let step = state.step
                sampler.advance(&state) { _, _ in network(step, schedule.timesteps[step]).array }
                samples.append(Tensor(state.sample, noise.shape))
            }
        case let other:
            throw WeightError(path: path, "cannot evaluate a '\(other)'; \(SchedulerConfiguration.knownClasses.joined(separator: ", ")) are known")
        }
        return [
            "sigmas": Tensor(schedule.sigmas), "timesteps": Tensor(schedule.timesteps), "samples": Tensor.stacked(samples),
            "model_outputs": Tensor.stacked(velocities),
        ]
    }
}
