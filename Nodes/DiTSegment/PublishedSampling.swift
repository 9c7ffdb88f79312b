import Foundation
import Models
import NodeKit

/// How a published pipeline integrates its flow: by its own scheduler, unless the parameters ask for another.
struct PublishedSampling {
    private enum Method {
        case unipc(UniPCSampler)
        /// With what the network is told at each step, where that is not the level itself.
        case flow(FlowSampler, timesteps: [Float]? = nil)
    }

    private let method: Method
    private let steps: Int
    /// Timesteps that the network was trained on.
    let trainingSteps: Int

    /// - Throws: When the pipeline's scheduler is not known, or the sampler does not go with published networks.
    init(model: ModelFolder, sampler: DiTSegment.Sampler?, steps: Int, shift: Double?) throws {
        let configuration = model.isPipeline ? try SchedulerConfiguration(folder: model.part("scheduler")) : nil
        let choice: DiTSegment.Sampler
        switch (sampler, configuration?.className) {
        case (let sampler?, _): choice = sampler
        case (nil, "UniPCMultistepScheduler"), (nil, nil): choice = .unipc
        case (nil, "FlowMatchEulerDiscreteScheduler"): choice = .euler
        case (nil, "DPMSolverMultistepScheduler"): choice = .dpmpp2m
        case (nil, let other?):
            throw NodeError("the pipeline's scheduler is a \(other), which is not known; set sampler: unipc or euler")
        }
        let shift = shift ?? configuration?.shift ?? 5
        trainingSteps = configuration?.trainingSteps ?? 1000
        self.steps = steps
        switch choice {
        case .unipc:
            method = .unipc(
                UniPCSampler(
                    schedule: .unipc(steps: steps, shift: shift, trainingSteps: trainingSteps), order: configuration?.order ?? 2))
        case .euler:
            let schedule = PublishedSchedule.flowMatchEuler(steps: steps, shift: shift, trainingSteps: trainingSteps)
            method = .flow(FlowSampler(schedule: FlowSchedule(schedule), solver: .euler))
        case .dpmpp2m:
            let schedule = PublishedSchedule.dpmSolver(steps: steps, shift: shift, trainingSteps: trainingSteps)
            method = .flow(FlowSampler(schedule: FlowSchedule(schedule), solver: .dpmpp2m), timesteps: schedule.timesteps)
        case .heun: method = .flow(FlowSampler(schedule: FlowSchedule(steps: steps, shift: shift), solver: .heun))
        }
    }

    /// Goes from noise to a clean sample, or on from where a killed run was.
    ///
    /// - Parameters:
    ///   - isResumable: Whether a step depends on nothing but the saved state.
    ///   - velocity: The network: `(sample, timestep in 0 … 1000) → dx/dσ`.
    func run(
        noise: [Float], _ context: NodeContext, isResumable: Bool, velocity: (_ sample: [Float], _ timestep: Float) throws -> [Float]
    ) throws -> [Float] {
        let saved = isResumable ? context.checkpoints?.load() : nil
        switch method {
        case .unipc(let sampler):
            let found = saved.flatMap { UniPCSampler.State($0, count: noise.count, steps: steps, order: sampler.order) }
            var state = found ?? UniPCSampler.State(sample: noise)
            begin(state.step, context)
            while !sampler.isFinished(state) {
                try context.checkCancelled()
                try sampler.advance(&state, velocity: velocity)
                try end(state.step, state.bytes, context)
            }
            return state.sample
        case .flow(let sampler, let timesteps):
            let found = saved.flatMap { FlowSampler.State($0, count: noise.count, steps: steps) }
            var state = found ?? FlowSampler.State(sample: noise)
            begin(state.step, context)
            while !sampler.isFinished(state) {
                try context.checkCancelled()
                let told = timesteps?[state.step]
                try sampler.advance(&state) { try velocity($0, told ?? Float($1 * Double(trainingSteps))) }
                try end(state.step, state.bytes, context)
            }
            return state.sample
        }
    }

    private func begin(_ step: Int, _ context: NodeContext) {
        if step > 0 { context.log("going on after step \(step) of \(steps)") }
        context.progress(step, of: steps, "steps")
    }

    private func end(_ step: Int, _ bytes: @autoclosure () -> [UInt8], _ context: NodeContext) throws {
        try context.checkpoints?.save(bytes())
        context.progress(step, of: steps, "steps")
    }
}
