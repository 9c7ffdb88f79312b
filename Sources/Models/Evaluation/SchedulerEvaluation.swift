import Foundation
import Safetensors
import Tensors

/// Steps of a scheduler on given network outputs.
enum SchedulerEvaluation {
    static func isScheduler(_ path: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/scheduler_config.json") }

    /// `noise` (the first sample) and `model_outputs` `[steps, …]` → `sigmas`, `timesteps` and `samples` `[steps + 1, …]`.
    static func evaluate(_ path: String, _ inputs: SafetensorsFile) throws -> [String: Tensor] {
        let configuration = try SchedulerConfiguration(folder: path)
        let noise = try Tensor(inputs, "noise")
        let velocities = try Tensor(inputs, "model_outputs", shape: [-1] + noise.shape)
        let steps = velocities.shape[0]
        guard steps > 0 else { throw SafetensorsError(.mismatch, path: inputs.file.path, "'model_outputs' has no steps") }
        let schedule: PublishedSchedule
        var samples = [noise]
        switch configuration.className {
        case "UniPCMultistepScheduler":
            schedule = .unipc(steps: steps, shift: configuration.shift, trainingSteps: configuration.trainingSteps)
            let sampler = UniPCSampler(schedule: schedule, order: configuration.order)
            var state = UniPCSampler.State(sample: noise.array)
            while !sampler.isFinished(state) {
                let step = state.step
                sampler.advance(&state) { _, _ in velocities.selected(0, step).array }
                samples.append(Tensor(state.sample, noise.shape))
            }
        case "FlowMatchEulerDiscreteScheduler":
            schedule = .flowMatchEuler(steps: steps, shift: configuration.shift, trainingSteps: configuration.trainingSteps)
            for step in 0..<steps {
                samples.append(samples[step] + velocities.selected(0, step) * (schedule.sigmas[step + 1] - schedule.sigmas[step]))
            }
        case "DPMSolverMultistepScheduler":
            schedule = .dpmSolver(steps: steps, shift: configuration.shift, trainingSteps: configuration.trainingSteps)
            let sampler = FlowSampler(schedule: FlowSchedule(schedule), solver: .dpmpp2m)
            var state = FlowSampler.State(sample: noise.array)
            while !sampler.isFinished(state) {
                let step = state.step
                sampler.advance(&state) { _, _ in velocities.selected(0, step).array }
                samples.append(Tensor(state.sample, noise.shape))
            }
        case let other:
            throw WeightError(path: path, "cannot evaluate a '\(other)'; UniPCMultistepScheduler, DPMSolverMultistepScheduler and FlowMatchEulerDiscreteScheduler are known")
        }
        return ["sigmas": Tensor(schedule.sigmas), "timesteps": Tensor(schedule.timesteps), "samples": Tensor.stacked(samples)]
    }
}
