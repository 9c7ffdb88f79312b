import FaceMotionNode
import NodeKit
import NodeTesting
import PoseEncoderNode
import SkeletonNetworkNode
import Testing
import VAENode

@testable import ReferenceNode

@Suite("Encoding and decoding nodes")
struct CodingNodeTests {
    let models: FixtureModels
    init() throws { models = FixtureModels(bench: try NodeBench()) }
    private var bench: NodeBench { models.bench }

    @Test(
        "segments decode as one stream: the same bytes as the uncut latent", arguments: ["block_vae", "vae_residual"])
    func decode(_ name: String) throws {
        let vae = try models.model(name)
        let video = try models.video(frames: 8, width: 32, height: 16)
        let encoded = try bench.run(VAEEncode.self, inputs: ["video": video, "model": vae])
        let latent: Latent = try encoded["latent"]
        #expect(latent.grid.frames == 3 && latent.frameCount == 8)
        func decode(_ latents: [Latent], threads: Int = 1) throws -> NodeBench.Outputs {
            try bench.run(
                VAEDecode.self, inputs: ["driving": video, "model": vae],
                lists: ["latents": latents.map { try bench.artifact($0) }], threads: threads)
        }
        let whole = try decode([latent])
        let parts = [
            Latent(grid: try latent.grid.slice(0..<2)), Latent(grid: try latent.grid.slice(1..<3), firstFrame: 4),
        ]
        let cut = try decode(parts, threads: 2)
        #expect(whole.artifacts["video"]?.digest == cut.artifacts["video"]?.digest)
        let film: Video = try cut["video"]
        #expect(film.timeline == (try Video(artifact: video)).timeline)
        #expect(throws: NodeError.self) { _ = try decode([parts[0]]) }
        #expect(throws: NodeError.self) { _ = try decode([parts[0], parts[0]]) }
    }

    @Test("tiles take a clip through all frames: the same bytes on any number of threads and of segments")
    func tiles() throws {
        let vae = try models.model("vae_residual")
        let video = try models.video(frames: 8, width: 96, height: 64)
        func encode(tile: Int, threads: Int = 1) throws -> NodeBench.Outputs {
            try bench.run(VAEEncode.self, inputs: ["video": video, "model": vae], parameters: ["tile": .integer(tile)], threads: threads)
        }
        let tiled = try encode(tile: 64)
        #expect(try tiled.artifacts["latent"]?.digest == encode(tile: 64, threads: 2).artifacts["latent"]?.digest)
        let (whole, latent): (Latent, Latent) = (try encode(tile: 0)["latent"], try tiled["latent"])
        #expect(latent.grid.shape == whole.grid.shape && latent.grid.values != whole.grid.values)
        func film(_ latents: [Latent], tile: Int, threads: Int = 1) throws -> NodeBench.Outputs {
            try bench.run(
                VAEDecode.self, inputs: ["driving": video, "model": vae], lists: ["latents": latents.map { try bench.artifact($0) }],
                parameters: ["tile": .integer(tile)], threads: threads)
        }
        let one = try film([whole], tile: 64)
        let parts = [Latent(grid: try whole.grid.slice(0..<2)), Latent(grid: try whole.grid.slice(1..<3), firstFrame: 4)]
        #expect(try one.artifacts["video"]?.digest == film(parts, tile: 64, threads: 2).artifacts["video"]?.digest)
        let (cut, uncut): (Video, Video) = (try one["video"], try film([whole], tile: 0)["video"])
        #expect(cut.count == 8 && cut.timeline == uncut.timeline && cut.frame(7) != uncut.frame(7))
    }

    @Test("pose features of earlier frames do not change with later maps")
    func causal() throws {
        let encoder = try models.model("pose_encoder")
        func features(changeAfter: Int) throws -> PoseFeatures {
            let maps = try models.video(frames: 10, width: 16, height: 24, type: .maps, changeAfter: changeAfter)
            return try bench.run(
                PoseEncode.self, inputs: ["skeleton": maps, "sphere": maps, "model": encoder], threads: 2)["features"]
        }
        let (a, b) = (try features(changeAfter: .max), try features(changeAfter: 6))
        #expect(a.grid.shape == [4, 4, 3, 2])
        #expect(try a.grid.slice(0..<2).values == b.grid.slice(0..<2).values)
        #expect(try a.grid.slice(2..<4).values != b.grid.slice(2..<4).values)
    }

    @Test("video and audio drivers give one type")
    func drivers() throws {
        let crops = try models.video(frames: 5, width: 48, height: 48)
        let fromVideo: FaceMotion = try bench.run(
            FaceMotionVideo.self, inputs: ["crops": crops, "model": models.model("face_motion_encoder")])["motion"]
        let speech = try bench.artifact(
            Audio(sampleRate: 16_000, samples: Randomness(seed: 1).normals(from: 0, count: 2_000).map { $0 * 0.1 }))
        let features = try bench.run(
            AudioFeaturesNode.self, inputs: ["audio": speech, "video": crops], parameters: ["window": .integer(8)])
        let fromAudio: FaceMotion = try bench.run(
            FaceMotionAudio.self,
            inputs: ["features": try #require(features.artifacts["features"]), "model": models.model("audio_encoder")])[
                "motion"]
        #expect(fromVideo.timeline == fromAudio.timeline)
        #expect(fromVideo.tokenCount == fromAudio.tokenCount && fromVideo.channels == fromAudio.channels)
        let slow = try bench.artifact(Audio(sampleRate: 8_000, samples: [0, 0]))
        #expect(throws: NodeError.self) {
            _ = try bench.run(AudioFeaturesNode.self, inputs: ["audio": slow, "video": crops])
        }
    }

    @Test("the key point network fills the joints it knows")
    func skeleton() throws {
        let network = try models.model("keypoint_net", changes: ["names": ["left_hip", "right_hip", "jaw_0"]])
        let video = try models.video(frames: 3, width: 48, height: 32)
        let outputs = try bench.run(SkeletonNetwork.self, inputs: ["video": video, "model": network], threads: 2)
        let pose: PoseTrack = try outputs["pose"]
        let faces: FaceTrack = try outputs["faces"]
        let head: HeadTrack = try outputs["head"]
        #expect(pose.confidence[23] > 0 && pose.confidence[0] == 0 && faces.landmarkCount == 1 && head.count == 3)
        #expect((0..<48).contains(pose.keypoints[46]) && (-8..<40).contains(pose.keypoints[47]))
        let r = head.rotation
        let determinant =
            r[0] * (r[4] * r[8] - r[5] * r[7]) - r[1] * (r[3] * r[8] - r[5] * r[6]) + r[2] * (r[3] * r[7] - r[4] * r[6])
        #expect(abs(determinant - 1) < 1e-4)
        #expect(throws: NodeError.self) {
            _ = try bench.run(SkeletonNetwork.self, inputs: ["video": video, "model": models.model("keypoint_net")])
        }
    }

    @Test("pseudo-references: extreme and median yaw of confident frames")
    func selection() {
        let yaw = [0.1, -0.5, 0.9, 0.0, -0.2]
        let confidence: [Float] = [1, 1, 0.1, 1, 1]
        #expect(ReferenceSelection.byYaw(yaw, confidence: confidence, threshold: 0.5, count: 3) == [1, 3, 0])
        let still = [SIMD2<Float>](repeating: .init(5, 5), count: 33)
        var raised = still
        raised[15] = .init(5, -95)
        let seen = [[Float]](repeating: [Float](repeating: 1, count: 33), count: 4)
        let chosen = ReferenceSelection.byPose(
            [still, still, raised, still], confidence: seen, threshold: 0.5, hips: (23, 24), count: 2)
        #expect(Set(chosen) == [0, 2])
    }

    @Test("pseudo-references: the half body comes from the frame that shows the whole one")
    func halfBody() throws {
        // A person of 160 pixels in a picture of 100 × 200, measured at half that size; in frame 0 the feet are cut off.
        let video = try models.video(frames: 3, width: 100, height: 200)
        var joints = [SIMD2<Float>](repeating: .init(25, 40), count: PoseTrack.jointCount)
        let places: [(Int, Float, Float)] = [
            (0, 25, 18), (7, 27, 17), (8, 23, 17), (11, 30, 28), (12, 20, 28), (13, 33, 40), (14, 17, 40), (15, 34, 50),
            (16, 16, 50), (23, 28, 52), (24, 22, 52), (25, 28, 72), (26, 22, 72), (27, 28, 90), (28, 22, 90),
        ]
        for (joint, x, y) in places { joints[joint] = .init(x, y) }
        var confidence = [Float](repeating: 1, count: 3 * PoseTrack.jointCount)
        confidence[27] = 0
        confidence[PoseTrack.jointCount + 15] = 0.6
        let pose = PoseTrack(
            timeline: try Video(artifact: video).timeline, width: 50, height: 100,
            keypoints: (0..<3).flatMap { _ in joints.flatMap { [$0.x, $0.y] } },
            positions: [Float](repeating: 0, count: 9 * PoseTrack.jointCount), confidence: confidence)
        #expect(HalfBody.frame(pose, threshold: 0.5) == 2)
        let box = HalfBody.box(pose, frame: 2, threshold: 0.5, picture: (100, 200), aspect: 1)
        // From above the nose to just below the hips, both wrists inside, square.
        #expect(box.y <= 26 && (104...120).contains(box.y + box.height))
        #expect(box.x <= 30 && box.x + box.width >= 70 && abs(box.width - box.height) <= 1)
        let outputs = try bench.run(
            ReferenceSelect.self, inputs: ["video": video, "pose": bench.artifact(pose)],
            parameters: ["by": .string("pose"), "count": .integer(1), "halfBody": .bool(true), "size": .string("32x32")])
        let (frames, table): (Video, Table) = (try outputs["frames"], try outputs["table"])
        #expect(frames.count == 2 && frames.width == 32 && table.labels == ["mean pose", "half body"])
        // The first is padded at the sides, the half body fills the canvas.
        #expect(frames.frame(0)[..<3].allSatisfy { $0 == 0 } && frames.frame(1)[..<3].contains { $0 > 0 })
        #expect(throws: NodeError.self) {
            _ = try bench.run(ReferenceSelect.self, inputs: ["video": video], parameters: ["halfBody": .bool(true)])
        }
    }
}
