import Foundation
import NodeKit
import Testing

@testable import GraphKit

@Suite struct OverlayTests {
    /// Files in a folder of their own.
    private func folder(_ files: [String: String]) throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        for (name, text) in files {
            let url = folder.appendingPathComponent(name)
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
        }
        return folder
    }

    private func base() throws -> String {
        try String(contentsOf: fixtures.appendingPathComponent("animate.yaml"), encoding: .utf8)
    }

    private static let audio = """
        extends: ../animate.yaml
        inputs:
          speech: { type: audio, default: speech.wav }
        nodes:
          sound: { type: audio.decode, in: { file: inputs.speech } }
          face: { type: face.motion.audio, in: { faces: null, audio: sound.audio } }
        """

    @Test func anOverlaySwapsTheFaceDriver() throws {
        let folder = try folder(["animate.yaml": base(), "drivers/audio.yaml": Self.audio])
        defer { try? FileManager.default.removeItem(at: folder) }
        let graphPath = folder.appendingPathComponent("animate.yaml").path
        let overlayPath = folder.appendingPathComponent("drivers/audio.yaml").path
        // Laid over its base, and run by itself: the same graph.
        for request in [GraphRequest(path: graphPath, overlays: [overlayPath]), GraphRequest(path: overlayPath)] {
            let (graph, diagnostics) = Graph.load(request, catalogue: TestCatalogue.all, options: .init(checksFiles: false))
            #expect(DiagnosticRenderer().render(diagnostics) == "")
            let face = try #require(graph?.node("face"))
            #expect(face.type == "face.motion.audio")
            #expect(face.dependencies == ["frames", "sound"])
            // Each path starts from the folder of the file that names it.
            #expect(graph?.input("speech")?.path == folder.appendingPathComponent("drivers/speech.wav").path)
            #expect(graph?.input("driving")?.path == folder.appendingPathComponent("driving.mp4").path)
            #expect(graph?.files.count == 2)
        }
    }

    @Test func errorsPointIntoTheFileTheValueCameFrom() throws {
        let overlay = "nodes:\n  face: { type: face.motion.audio }\n"
        let folder = try folder(["animate.yaml": base(), "o.yaml": overlay])
        defer { try? FileManager.default.removeItem(at: folder) }
        let request = GraphRequest(
            path: folder.appendingPathComponent("animate.yaml").path, overlays: [folder.appendingPathComponent("o.yaml").path])
        let (_, diagnostics) = Graph.load(request, catalogue: TestCatalogue.all, options: .init(checksFiles: false))
        let rendering = DiagnosticRenderer().render(diagnostics).replacingOccurrences(of: folder.path + "/", with: "")
        #expect(
            rendering == """
                animate.yaml:12:3: error: input 'audio' of 'face' (face.motion.audio) is not wired; it takes audio
                  12 |   face:     { type: face.motion.video, in: { video: frames.video, faces: skeleton.faces } }
                     |   ^~~~
                note: 'frames.audio' is audio: write in: { audio: frames.audio }
                animate.yaml:12:67: error: 'face' (face.motion.audio) has no input 'faces'
                  12 |   face:     { type: face.motion.video, in: { video: frames.video, faces: skeleton.faces } }
                     |                                                                   ^~~~~
                note: its inputs are 'audio' and 'video'
                o.yaml:2:17: note: the type is set here; remove the input there with 'faces: null'
                   2 |   face: { type: face.motion.audio }
                     |                 ^~~~~~~~~~~~~~~~~

                """)
    }

    @Test func theCommandLineSets() throws {
        let folder = try folder(["animate.yaml": base()])
        defer { try? FileManager.default.removeItem(at: folder) }
        let request = GraphRequest(
            path: folder.appendingPathComponent("animate.yaml").path,
            settings: [
                "face.with.crop=256", "animate.with.guidance.motion=4.0", "animate.with.seed=null", "frames.with.size=null",
                "animate.with.shifts=[1, 2.5]", "nodes.film.with.codec=x264", "name=other", "film.in.audio=null",
            ],
            inputs: ["driving=clip with = sign.mp4"])
        let (graph, diagnostics) = Graph.load(request, catalogue: TestCatalogue.all, options: .init(checksFiles: false))
        #expect(DiagnosticRenderer().render(diagnostics) == "")
        let loaded = try #require(graph)
        #expect(loaded.name == "other")
        #expect(loaded.node("face")?.parameters["crop"] == .integer(256))
        #expect(loaded.node("frames")?.canonicalParameters == #"{"fit":"crop","fps":24,"full":false,"size":null}"#)
        #expect(
            loaded.node("animate")?.canonicalParameters
                == #"{"extra":null,"guidance.motion":4,"guidance.reference":2.5,"seed":0,"shifts":[1,2.5],"steps":20}"#)
        #expect(loaded.node("film")?.wires.keys.sorted() == ["video"])
        #expect(loaded.input("driving")?.path == SourceFile.currentDirectory.appendingPathComponent("clip with = sign.mp4").path)
    }

    @Test(arguments: [
        ("face.with.crop", "<command line>: --set face.with.crop: error: this sets nothing: there is no '='"),
        ("face..crop=3", "<command line>: --set face..crop=3: error: 'face..crop' is not a path"),
        ("fcae.with.crop=3", "<command line>: --set fcae.with.crop=3: error: no node is called 'fcae'; did you mean 'face'?"),
        ("face.crop=3", "<command line>: --set face.crop=3: error: a node has no key 'crop'; did you mean 'face.with.crop'?"),
        ("face.wiht.crop=3", "<command line>: --set face.wiht.crop=3: error: a node has no key 'wiht'; did you mean 'face.with'?"),
        ("face=3", "<command line>: --set face=3: error: 'face' is a whole node: say what of it to set"),
        ("nodes=3", "<command line>: --set nodes=3: error: this would replace all nodes"),
        ("inputs.speech.default=3", "<command line>: --set inputs.speech.default=3: error: the graph has no input 'speech'"),
        ("face.with.crop=[1", "<command line>: --set face.with.crop=[1: error: this is not YAML: did not find expected ',' or ']'"),
        ("face.with.crop=9", "<command line>: --set face.with.crop=9: error: parameter 'crop' of 'face' is 9; it must be between 64 and 512"),
        ("animate.with.seed=", "<command line>: --set animate.with.seed=: error: parameter 'seed' of 'animate' takes an integer, this is the text ''"),
        ("face.with.crpo=99", "<command line>: --set face.with.crpo=99: error: 'face' (face.motion.video) has no parameter 'crpo'; did you mean 'crop'?"),
        ("face.in.video=frames.audio", "<command line>: --set face.in.video=frames.audio: error: input 'video' of 'face' takes video, but 'frames.audio' is audio; did you mean 'frames.video'?"),
    ])
    func aWrongSettingIsToldOnTheCommandLine(_ setting: String, _ expected: String) throws {
        let folder = try folder(["animate.yaml": base()])
        defer { try? FileManager.default.removeItem(at: folder) }
        let request = GraphRequest(path: folder.appendingPathComponent("animate.yaml").path, settings: [setting])
        let (graph, diagnostics) = Graph.load(request, catalogue: TestCatalogue.all, options: .init(checksFiles: false))
        #expect(graph == nil)
        #expect(DiagnosticRenderer().render(diagnostics).split(separator: "\n").first.map(String.init) == expected)
    }

    /// Prompts are typed as people write: what YAML would read in them is theirs.
    @Test(arguments: [
        ("shot #3 of the film", "shot #3 of the film"), ("Style: cinematic, a cat", "Style: cinematic, a cat"), ("", ""), (" x ", "x"),
        ("'quoted'", "quoted"), (#""two\nlines""#, "two\nlines"), ("'a' and 'b'", "'a' and 'b'"), ("*star*", "*star*"), ("&anchor", "&anchor"),
        ("---", "---"), ("- dash", "- dash"), ("@at", "@at"), ("!what", "!what"), ("42", "42"), ("true", "true"), ("one\ntwo", "one\ntwo"),
    ])
    func theCommandLineTakesTextAsItIs(_ argument: String, _ expected: String) throws {
        let folder = try folder(["animate.yaml": base()])
        defer { try? FileManager.default.removeItem(at: folder) }
        let request = GraphRequest(path: folder.appendingPathComponent("animate.yaml").path, settings: ["film.with.codec=\(argument)"])
        let (graph, diagnostics) = Graph.load(request, catalogue: TestCatalogue.all, options: .init(checksFiles: false))
        #expect(DiagnosticRenderer().render(diagnostics) == "")
        #expect(graph?.node("film")?.parameters["codec"] == .string(expected))
    }

    @Test(arguments: [
        ("drivin=x.mp4", "the graph has no input 'drivin'; did you mean 'driving'?"), ("driving", "this sets no input"),
        ("driving=", "this sets no input"), ("driving=nowhere.mp4", "there is no file 'nowhere.mp4' for input 'driving'"),
    ])
    func aWrongInputIsToldOnTheCommandLine(_ input: String, _ message: String) throws {
        let folder = try folder(["animate.yaml": base(), "reference.png": "", "driving.mp4": ""])
        defer { try? FileManager.default.removeItem(at: folder) }
        let request = GraphRequest(path: folder.appendingPathComponent("animate.yaml").path, inputs: [input])
        let (_, diagnostics) = Graph.load(request, catalogue: TestCatalogue.all)
        #expect(diagnostics.all.map(\.message) == [message])
        #expect(diagnostics.all.first?.range?.description == "<command line>: --input \(input)")
    }

    @Test func mergeKeysAndAliasesWork() {
        let (graph, rendering) = check(
            """
            understudy: 1
            x-rate: &rate { fps: 24, fit: pad }
            x-full: &full { full: true, fit: crop }
            inputs: { driving: { type: video, default: a.mp4 } }
            nodes:
              a: &a { type: video.decode, in: { file: inputs.driving }, with: { <<: *rate, fps: 25 } }
              b: { <<: *a, with: { <<: [*full, *rate] } }
              c: *a
            """)
        #expect(rendering == "")
        #expect(graph?.node("a")?.canonicalParameters == #"{"fit":"pad","fps":25,"full":false,"size":null}"#)
        #expect(graph?.node("b")?.canonicalParameters == #"{"fit":"crop","fps":24,"full":true,"size":null}"#)
        #expect(graph?.node("c")?.parameters == graph?.node("a")?.parameters)
    }
}
