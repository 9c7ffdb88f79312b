import Drawing
import NodeKit
import NodeTesting
import Testing

@testable import ActorNode

@Suite struct ActorTests {
    @Test func sameSeedGivesSameBytes() throws {
        func shot() throws -> ActorFrame {
            try ActorStage(personSeed: 11, width: 64, height: 64).frame(at: 2.5, faceCrop: 32)
        }
        let (a, b) = (try shot(), try shot())
        #expect(a.rgb == b.rgb && a.face == b.face && a.truth.keypoints == b.truth.keypoints)
        #expect(try ActorStage(personSeed: 12, width: 64, height: 64).frame(at: 2.5).rgb != a.rgb)
    }

    @Test func manyPeopleAreDrawnAndFinite() throws {
        for seed in UInt64(0)..<200 {
            let stage = try ActorStage(personSeed: seed, width: 48, height: 48)
            let truth = try stage.frame(at: Double(seed % 37) * 1.7).truth
            #expect(truth.keypoints.count == 150 && truth.positions.count == 225)
            #expect(truth.landmarks.count == ActorHead.landmarkNames.count * 3)
            for values in [truth.keypoints, truth.positions, truth.landmarks, truth.headRotation, truth.faceBox, truth.personBox] {
                #expect(values.allSatisfy({ $0.isFinite }), "person \(seed)")
            }
            let box = truth.personBox
            #expect(box[0] >= 0 && box[1] >= 0 && box[0] + box[2] <= 48 && box[1] + box[3] <= 48 && box[2] > 0)
        }
    }

    /// Takes the person away by painting it in one loud colour: joints must lie on it.
    @Test func jointsLieOnTheDrawnBody() throws {
        var hits = 0, total = 0
        for seed in UInt64(300)..<330 {
            var person = ActorPerson(seed: seed)
            let loud = Color(1, 0, 1)
            person.skin = loud
            person.topColor = loud
            person.bottomColor = loud
            person.innerColor = loud
            person.patternColor = loud
            person.shoeColor = loud
            let camera = ActorCamera(person: person, framing: .full, width: 256, height: 256, seed: seed)
            let state = ActorMotion(seed: seed).state(at: 5)
            let skeleton = ActorSkeleton(person: person, state: state)
            let canvas = try Canvas(width: 256, height: 256, background: Color(0, 1, 0))
            let renderer = ActorRenderer(
                person: person, light: ActorLight(seed: seed), camera: camera, skeleton: skeleton,
                expression: state.expression, canvas: canvas)
            renderer.draw()
            let truth = ActorTruth(
                person: person, skeleton: skeleton, head: renderer.head, camera: camera, expression: state.expression)
            for joint in 11..<29 where truth.confidence[joint] == 1 {
                total += 1
                let (x, y) = (Int(truth.keypoints[2 * joint]), Int(truth.keypoints[2 * joint + 1]))
                if let pixel = canvas.pixel(x: x, y: y), pixel.green < 150 { hits += 1 }
            }
        }
        #expect(total > 400)
        #expect(Double(hits) > 0.99 * Double(total), "\(hits) of \(total)")
    }

    @Test func mouthFollowsPhonemes() throws {
        #expect(ActorSpeech.visemes(of: "m") == [.PP])
        #expect(ActorSpeech.visemes(of: "aI") == [.aa, .I])
        #expect(ActorSpeech.visemes(of: "_") == [.sil])
        guard let speech = try? ActorSpeech(text: "Mama.", seed: 3) else { return }
        let again = try ActorSpeech(text: "Mama.", seed: 3)
        let difference = zip(speech.samples, again.samples).enumerated().first { $1.0 != $1.1 }
        #expect(speech.samples.count == again.samples.count && difference == nil, "\(String(describing: difference))")
        #expect(speech.samples.contains { abs($0) > 0.05 })
        let frames = (0..<Int(speech.duration * 24)).map { speech.weights(at: Double($0) / 24) }
        #expect(frames.contains { $0[Viseme.PP.rawValue] > 0.5 })
        #expect(frames.contains { $0[Viseme.aa.rawValue] + $0[Viseme.O.rawValue] > 0.5 })
        #expect(frames.allSatisfy { abs($0.reduce(0, +) - 1) < 1e-9 })
    }

    @Test func clipNodeWritesEveryOutput() throws {
        let bench = try NodeBench()
        let outputs = try bench.run(
            ActorClip.self,
            parameters: ["frames": .integer(5), "size": .string("64x64"), "person": .integer(4), "motion": .integer(9)])
        let video: Video = try outputs["video"]
        let pose: PoseTrack = try outputs["skeleton"]
        let audio: Audio = try outputs["audio"]
        let table: Table = try outputs["expression"]
        #expect(video.count == 5 && pose.count == 5 && table.values.count == 5)
        #expect(abs(audio.duration - 5.0 / 24) < 1e-3)
    }

    @Test func datasetIsTheSameOnAnyNumberOfThreads() throws {
        let bench = try NodeBench()
        let shards = try [1, 3].map { threads in
            try bench.run(
                ActorDataset.self,
                parameters: ["clips": .integer(4), "frames": .integer(2), "size": .string("32x32"), "crop": .integer(8), "speech": .number(0)],
                threads: threads)
        }
        #expect(shards[0].artifacts["tensors"]?.digest == shards[1].artifacts["tensors"]?.digest)
        let bundle: TensorBundle = try shards[0]["tensors"]
        #expect(bundle.file.tensors["frames"]?.shape == [4, 2, 32, 32, 3] && bundle.file.tensors["has_audio"]?.shape == [4])
        let said = try bundle.file.metadata([String: String].self, of: .tensor)
        #expect(said["fps"] == "24.0" && said["landmarks"]?.isEmpty == false)
    }
}
