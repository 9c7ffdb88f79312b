import DiTSegmentNode
import FaceMotionNode
import NodeKit
import NodeTesting
import PoseEncoderNode
import ReferenceNode
import Testing
import VAENode

/// From maps and crops to a film, over segments, as `Graphs/animate.yaml` wires it.
@Suite("A clip of several segments")
struct WholeClipTests {
    let models: FixtureModels
    init() throws { models = FixtureModels(bench: try NodeBench()) }
    private var bench: NodeBench { models.bench }

    /// The latents of all segments, and the film.
    private func film(frames: Int, threads: Int, changeAfter: Int = .max) throws -> (latents: [Artifact], film: Video) {
        let vae = try models.model("vae_residual"), dit = try models.model("dit_sample")
        let clip = try models.video(frames: frames, width: 48, height: 32)
        let maps = try models.video(frames: frames, width: 48, height: 32, type: .maps, changeAfter: changeAfter)
        func output(_ outputs: NodeBench.Outputs, _ port: String) throws -> Artifact {
            try #require(outputs.artifacts[port])
        }
        let image: Artifact = try bench.artifact(Image(width: 48, height: 32, pixels: Video(artifact: clip).frame(0)))
        let reference = try output(
            bench.run(ReferenceEncode.self, inputs: ["image": image, "frames": clip, "model": vae], threads: threads), "latents")
        let pose = try output(
            bench.run(
                PoseEncode.self, inputs: ["skeleton": maps, "sphere": maps, "model": models.model("pose_encoder")],
                threads: threads), "features")
        let crops = try models.video(frames: frames, width: 32, height: 32)
        let face = try output(
            bench.run(FaceMotionVideo.self, inputs: ["crops": crops, "model": models.model("face_motion_encoder")]), "motion")
        let plan: Segments = try bench.run(SegmentsPlan.self, inputs: ["video": clip], parameters: ["frames": .integer(5)])["list"]
        func cut(_ artifact: Artifact, _ range: Range<Int>) throws -> Artifact {
            let path = "\(try bench.makeFolder())/cut.safetensors"
            let writer = try ArtifactWriter(path: path, type: artifact.type, headerCapacity: 16_384)
            try ValueCatalog.slice(artifact, frames: range, to: writer)
            return Artifact(type: artifact.type, path: path, digest: try writer.finish(sync: false))
        }
        var latents: [Artifact] = []
        var last: Artifact?
        for range in plan.ranges {
            var inputs = ["model": dit, "reference": reference, "pose": try cut(pose, range), "face": try cut(face, range)]
            inputs["initial"] = last
            let segment = try bench.run(
                DiTSegment.self, inputs: inputs, parameters: ["steps": .integer(2)], threads: threads)
            latents.append(try output(segment, "latent"))
            last = try output(segment, "last")
        }
        let decoded = try bench.run(
            VAEDecode.self, inputs: ["driving": clip, "model": vae], lists: ["latents": latents], threads: threads)
        return (latents, try decoded["video"])
    }

    @Test("every clip length gives a film of that length", arguments: [1, 3, 5, 6, 11])
    func lengths(frames: Int) throws {
        let result = try film(frames: frames, threads: 1)
        #expect(result.film.count == frames && result.film.width == 48 && result.film.height == 32)
    }

    @Test("a change after the first segment leaves its latent alone; threads leave all bytes alone")
    func laterChange() throws {
        let before = try film(frames: 11, threads: 1), after = try film(frames: 11, threads: 2, changeAfter: 5)
        let again = try film(frames: 11, threads: 2)
        #expect(before.latents.map(\.digest) == again.latents.map(\.digest))
        #expect((0..<11).allSatisfy { before.film.frame($0) == again.film.frame($0) })
        #expect(before.latents[0].digest == after.latents[0].digest)
        #expect(before.latents[1].digest != after.latents[1].digest)
    }
}
