import Foundation
import Testing

@testable import Models

@Suite("Flow-matching sampling")
struct SamplingTests {
    @Test("levels run from 1 to 0 and follow the shift")
    func schedule() {
        let even = FlowSchedule(steps: 4, shift: 1)
        #expect(even.sigmas == [1, 0.75, 0.5, 0.25, 0])
        let shifted = FlowSchedule(steps: 4, shift: 5)
        #expect(shifted.sigmas.first == 1 && shifted.sigmas.last == 0)
        #expect(abs(shifted.sigmas[2] - 5.0 / 6.0) < 1e-12)
    }

    private struct Digests: Decodable {
        var `class`: String, shift: Double, digest: String
    }

    @Test("all numbers of steps from 1 to 200 have diffusers' very levels and timesteps")
    func published() throws {
        for row in try Digest.rows(Digests.self, "schedules") {
            var digest = Digest()
            for steps in 1...200 {
                let schedule: PublishedSchedule = switch row.class {
                case "UniPCMultistepScheduler": .unipc(steps: steps, shift: row.shift)
                case "DPMSolverMultistepScheduler": .dpmSolver(steps: steps, shift: row.shift)
                default: .flowMatchEuler(steps: steps, shift: row.shift)
                }
                for values in [schedule.sigmas, schedule.timesteps] { values.withUnsafeBytes { digest.add($0) } }
            }
            #expect(digest.text == row.digest, "\(row.class), shift \(row.shift)")
        }
    }

    /// Data distributed as N(mean, spread²) has a velocity in closed form and an exact path.
    private func integrate(_ solver: FlowSolver, steps: Int) -> (error: Double, evaluations: Int) {
        let mean = 0.7
        let spread = 0.4
        let noise = 1.3
        var evaluations = 0
        let sampler = FlowSampler(schedule: FlowSchedule(steps: steps, shift: 3), solver: solver)
        var state = FlowSampler.State(sample: [Float(noise)])
        while !sampler.isFinished(state) {
            sampler.advance(&state) { x, t in
                evaluations += 1
                let variance = (1 - t) * (1 - t) * spread * spread + t * t
                let z = (Double(x[0]) - (1 - t) * mean) / variance
                // E[ε | x] = t·z and E[x₀ | x] = mean + (1 − t)·spread²·z
                return [Float(t * z - mean - (1 - t) * spread * spread * z)]
            }
        }
        return (abs(Double(state.sample[0]) - (mean + spread * noise)), evaluations)
    }

    @Test("Euler is of first order, Heun and DPM++ 2M are of second")
    func order() {
        let euler = [integrate(.euler, steps: 20), integrate(.euler, steps: 40)]
        #expect((1.6...2.5).contains(euler[0].error / euler[1].error))
        let heun = [integrate(.heun, steps: 10), integrate(.heun, steps: 20)]
        #expect(heun[0].error / heun[1].error > 3)
        let multistep = [integrate(.dpmpp2m, steps: 20), integrate(.dpmpp2m, steps: 40)]
        #expect(multistep[0].error / multistep[1].error > 3)
        #expect(multistep[0].error < euler[0].error / 2)
        #expect(multistep[0].evaluations == 20 && heun[0].evaluations == 19)
    }

    @Test("a state taken up again goes on to the same bits", arguments: FlowSolver.allCases)
    func resume(solver: FlowSolver) {
        let sampler = FlowSampler(schedule: FlowSchedule(steps: 6, shift: 2), solver: solver)
        let velocity = { (x: [Float], t: Double) in x.map { sin(3 * $0) + Float(t) } }
        var whole = FlowSampler.State(sample: [0.1, -0.4, 0.9])
        var saved: FlowSampler.State?
        while !sampler.isFinished(whole) {
            if whole.step == 3 { saved = whole }
            sampler.advance(&whole, velocity: velocity)
        }
        var resumed = saved ?? whole
        while !sampler.isFinished(resumed) { sampler.advance(&resumed, velocity: velocity) }
        #expect(resumed == whole)
    }

    @Test("guidance runs only the passes it needs and combines them as written")
    func guidance() {
        #expect(Guidance(reference: 1, motion: 1).passes.map(\.pass) == [.everything])
        #expect(Guidance(reference: 2.5, motion: 2.5).passes.map(\.pass) == [.nothing, .everything])
        #expect(Guidance(reference: 1, motion: 2).passes.map(\.pass) == [.reference, .everything])
        let values: [Guidance.Pass: Float] = [.nothing: 1, .reference: 10, .everything: 100]
        let v = Guidance(reference: 2, motion: 3).velocity { [values[$0] ?? .nan] }
        #expect(v == [289])  // 1 + 2·(10 − 1) + 3·(100 − 10)
    }
}
