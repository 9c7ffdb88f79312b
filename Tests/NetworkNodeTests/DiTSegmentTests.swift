import Locking
import Models
import NodeKit
import NodeTesting
import Tensors
import Testing

@testable import DiTSegmentNode

@Suite("dit.segment and segments.plan")
struct DiTSegmentTests {
    let models: FixtureModels
    init() throws { models = FixtureModels(bench: try NodeBench()) }
    private var bench: NodeBench { models.bench }

    @Test(arguments: [
        (1, [0..<1]), (40, [0..<40]), (73, [0..<73]), (74, [0..<73, 72..<74]), (106, [0..<73, 72..<106]),
        (164, [0..<73, 72..<145, 144..<164]),
    ])
    func plan(frames: Int, expected: [Range<Int>]) {
        #expect(SegmentPlan(frames: frames, length: 73).ranges == expected)
    }

    @Test func overlappingPlans() {
        let five = SegmentPlan(frames: 150, length: 77, overlap: 5, isWhole: true)
        #expect(five.ranges == [0..<77, 72..<149, 144..<221])
        #expect(SegmentPlan(frames: 149, length: 77, overlap: 5, isWhole: true).ranges.count == 2)
        #expect(SegmentPlan(frames: 3, length: 77, isWhole: true).ranges == [0..<77])
    }

    @Test("a UniPC sampler goes on from its bytes to the same sample")
    func unipcCheckpoint() throws {
        let sampler = UniPCSampler(schedule: .unipc(steps: 6, shift: 5), order: 2)
        var state = UniPCSampler.State(sample: Randomness(seed: 4).normals(from: 0, count: 20))
        func advance(_ state: inout UniPCSampler.State) { sampler.advance(&state) { sample, t in sample.map { $0 * 0.3 + t / 5000 } } }
        for _ in 0..<3 { advance(&state) }
        var other = try #require(UniPCSampler.State(state.bytes, count: 20, steps: 6, order: 2))
        for _ in 0..<3 {
            advance(&state)
            advance(&other)
        }
        #expect(state == other)
        #expect(UniPCSampler.State(state.bytes, count: 21, steps: 6, order: 2) == nil)
        #expect(UniPCSampler.State(Array(state.bytes.dropLast()), count: 20, steps: 6, order: 2) == nil)
        #expect(UniPCSampler.State([], count: 20, steps: 6, order: 2) == nil)
    }

    /// Remembers every save; hands out the one it was made with.
    private final class Checkpoints: CheckpointStore, Sendable {
        let saved = Locked<[[UInt8]]>([])
        let first: [UInt8]?
        init(_ first: [UInt8]? = nil) { self.first = first }
        func load() -> [UInt8]? { first }
        func save(_ bytes: [UInt8]) throws { saved.withLock { $0.append(bytes) } }
    }

    private func inputs(_ model: String, initial: Latent? = nil) throws -> [String: Artifact] {
        var inputs = [
            "model": try models.model(model),
            "pose": try bench.artifact(PoseFeatures(grid: models.grid(4, 3, 4, 6, seed: 1))),
            // One frame short of 1 + 4k: the last one is held.
            "face": try bench.artifact(
                FaceMotion(
                    timeline: Timeline(rate: Rational(24), count: 8), tokenCount: 2, channels: 8,
                    tokens: Randomness(seed: 2).normals(from: 0, count: 8 * 16))),
            "reference": try bench.artifact(
                Reference(
                    latents: Randomness(seed: 3).normals(from: 0, count: 2 * 4 * 24), channels: 4, height: 4, width: 6,
                    names: ["reference", "yaw"])),
        ]
        if let initial { inputs["initial"] = try bench.artifact(initial) }
        return inputs
    }

    private func parameters(_ sampler: String) -> [String: ParameterLiteral] {
        ["steps": .integer(5), "sampler": .string(sampler), "guidance.motion": .number(1.5)]
    }

    @Test("one and two threads give the same bytes")
    func threads() throws {
        let inputs = try inputs("dit_sample")
        let one = try bench.run(DiTSegment.self, inputs: inputs, parameters: parameters("heun"), threads: 1)
        let two = try bench.run(DiTSegment.self, inputs: inputs, parameters: parameters("heun"), threads: 2)
        #expect(one.artifacts["latent"]?.digest == two.artifacts["latent"]?.digest)
        let latent: Latent = try one["latent"]
        #expect(latent.grid.shape == [4, 3, 4, 6] && latent.grid.values.allSatisfy(\.isFinite))
        var other = parameters("heun")
        other["seed"] = .integer(8)
        let reseeded = try bench.run(DiTSegment.self, inputs: inputs, parameters: other)
        #expect(reseeded.artifacts["latent"]?.digest != one.artifacts["latent"]?.digest)
    }

    @Test("keys and values of references are made once for the same network, pictures and poses")
    func referenceMemory() throws {
        let path = try models.model("dit_velocity").path
        let weights = try WeightStore(path: path)
        let network = try DreamActorTransformer(weights), c = network.configuration
        func tensor(_ seed: UInt64, _ channels: Int) -> Tensor {
            Tensor(Randomness(seed: seed).normals(from: 0, count: 2 * channels * 24), [2, channels, 4, 6])
        }
        let pictures = tensor(1, c.inChannels), pose = tensor(2, c.poseChannels)
        let memory = ReferenceMemory()
        /// Whether it was made anew.
        func isNew(_ name: String?, _ references: Tensor, _ pose: Tensor?) -> Bool {
            var made = false
            let cache = memory.cache(network: name, references: references, pose: pose) {
                made = true
                return network.encode(references: references, pose: pose)
            }
            #expect(cache.latents.array == references.array)
            return made
        }
        let name = try #require(weights.identity)
        #expect(try WeightStore(path: path).identity == name && WeightStore(path: path, precision: .int8).identity != name)
        #expect(isNew(name, pictures, pose))
        #expect(!isNew(name, tensor(1, c.inChannels), tensor(2, c.poseChannels)))
        #expect(isNew(name, pictures, nil) && !isNew(name, pictures, pose) && !isNew(name, pictures, nil))
        #expect(isNew(name, tensor(3, c.inChannels), pose) && isNew(name, pictures, tensor(4, c.poseChannels)))
        #expect(isNew("another", pictures, pose) && isNew(name, pictures, pose))
        #expect(isNew(nil, pictures, pose) && isNew(nil, pictures, pose))
    }

    @Test("a run killed after any step goes on to the same bytes", arguments: ["euler", "heun", "dpmpp2m"])
    func resume(sampler: String) throws {
        let inputs = try inputs("dit_velocity", initial: Latent(grid: models.grid(4, 1, 4, 6, seed: 9), firstFrame: 8))
        let whole = Checkpoints()
        let first = try bench.run(
            DiTSegment.self, inputs: inputs, parameters: parameters(sampler), checkpoints: whole)
        let saved = whole.saved.withLock { $0 }
        #expect(saved.count == 5)
        for (step, state) in saved.enumerated() {
            let resumed = Checkpoints(state)
            let second = try bench.run(
                DiTSegment.self, inputs: inputs, parameters: parameters(sampler), checkpoints: resumed)
            // The steps that were left, each with the state that the undisturbed run had there.
            #expect(resumed.saved.withLock { $0 } == Array(saved[(step + 1)...]))
            #expect(first.artifacts["latent"]?.digest == second.artifacts["latent"]?.digest)
            #expect(first.artifacts["last"]?.digest == second.artifacts["last"]?.digest)
        }
        // Bytes that are no checkpoint of this run are not used.
        let odd = try bench.run(
            DiTSegment.self, inputs: inputs, parameters: parameters(sampler), checkpoints: Checkpoints([1, 2, 3]))
        #expect(first.artifacts["latent"]?.digest == odd.artifacts["latent"]?.digest)
    }

    @Test("the initial latent keeps its bits and says where the segment lies")
    func handover() throws {
        let initial = Latent(grid: models.grid(4, 1, 4, 6, seed: 9), firstFrame: 72)
        let outputs = try bench.run(
            DiTSegment.self, inputs: inputs("dit_joint", initial: initial), parameters: parameters("dpmpp2m"))
        let latent: Latent = try outputs["latent"]
        let last: Latent = try outputs["last"]
        #expect(try latent.grid.slice(0..<1).values == initial.grid.values)
        #expect(latent.firstFrame == 72 && last.firstFrame == 80)
        #expect(try latent.grid.slice(2..<3).values == last.grid.values)
    }

    @Test("inputs that do not fit are refused with both sizes")
    func mismatch() throws {
        var inputs = try inputs("dit_sample")
        inputs["pose"] = try bench.artifact(PoseFeatures(grid: models.grid(4, 4, 4, 6, seed: 1)))
        let error = #expect(throws: NodeError.self) { _ = try bench.run(DiTSegment.self, inputs: inputs) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("face motion of 8 frames for 4 latent frames"))
    }
}
