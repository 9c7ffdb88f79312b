import Foundation
import Inspection
import Media
import NodeKit
import NodeTesting
import Testing

/// Every kind of value shows something, and every export opens again with what was in it.
struct InspectionTests {
    private let bench: NodeBench
    private let samples: [PortType: Artifact]

    init() throws {
        bench = try NodeBench()
        samples = try SampleValues.all(bench)
    }

    private func sample(_ type: PortType) throws -> Artifact { try #require(samples[type]) }

    private func facts(_ type: PortType) throws -> [String: String] {
        Dictionary(try Inspection(of: sample(type)).facts.map { ($0.label, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    @Test func everyKindHasFactsAndAPictureOrTable() throws {
        for type in PortType.all {
            let inspection = try Inspection(of: sample(type))
            #expect(inspection.facts.count >= 4, "\(type)")
            let isPlain = [PortType.model, .tensor, .file].contains(type)
            #expect(isPlain || inspection.preview != nil || inspection.table != nil, "\(type) shows nothing")
            if let preview = inspection.preview { #expect(preview.width >= 48 && preview.height >= 32, "\(type)") }
        }
    }

    @Test func factsHaveUnits() throws {
        #expect(try facts(.video)["duration"] == "0.2 s" && facts(.video)["frame rate"] == "25 fps on average")
        #expect(try facts(.audio)["sample rate"] == "8000 Hz" && facts(.audio)["duration"] == "0.5 s")
        #expect(try facts(.audio)["loudness"] == "-9.031 dB RMS")
        #expect(try facts(.head)["radius"] == "6 … 6, mean 6 pixels" && facts(.head)["yaw"] == "0 … 0, mean 0 degrees")
        #expect(try facts(.pose)["body seen"] == "100 % of joints" && facts(.pose)["reach"] == "0 m wide, 0 m high, 0 m deep")
        #expect(try facts(.tensor)["weight"] == "F32 [2, 3]" && facts(.model)["parameters"] == "6")
    }

    @Test("numbers that only one of two values has count as a difference, and as JSON too")
    func comparisonsSeeWhatIsNotFinite() throws {
        func table(_ values: [Double]) throws -> Artifact {
            try bench.artifact(Table(columns: [.init("value")], rows: values.map { ("", [$0]) }))
        }
        let found = try ValueComparison(table([1, .nan, 3, .infinity, .nan]), table([1, .nan, 5, 2, 7]))
        #expect(found.description == "values: 2 are NaN or infinite in one only, else largest difference 2, relative 0.63")
        #expect(throws: Never.self) { try JSONEncoder().encode(found) }
        #expect(try ValueComparison(table([.nan]), table([3])).description == "values: 1 is NaN or infinite in one only")
        #expect(try ValueComparison(table([.nan, 4]), table([.nan, 3])).description == "values: largest difference 1, relative 0.25")
    }

    /// A track is drawn over the first picture of the size that it was measured in, never over one of another size.
    @Test func backdropIsOfTheTracksSize() throws {
        let small = try bench.artifact(Image(width: 24, height: 16, pixels: [UInt8](repeating: 255, count: 24 * 16 * 3)))
        let search: BackdropSearch = { w, h in
            Backdrop.first(in: [small, samples[.audio], samples[.image]].compactMap { $0 }, width: w, height: h)
        }
        #expect(search(24, 16)?.width == 24 && search(48, 32)?.width == 48 && search(10, 10) == nil)
        let plain = try #require(Inspection(of: sample(.faces)).preview)
        let over = try #require(Inspection(of: sample(.faces), backdrop: search).preview)
        #expect(plain.width == over.width && plain.rgb() != over.rgb())
    }

    @Test func everyExportOpens() throws {
        for type in PortType.all where type != .file {
            for form in Export.extensions(for: type) {
                let path = "\(try bench.makeFolder())/value.\(form)"
                try Export.write(try sample(type), to: path)
                let data = try Data(contentsOf: URL(filePath: path))
                switch form {
                case "safetensors": #expect(try data == Data(contentsOf: URL(filePath: sample(type).path)), "\(type)")
                case "png": #expect(try ImageReader.read(path: path).width >= 48, "\(type)")
                case "json": #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: data) }
                case "csv":
                    let lines = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline)
                    #expect(lines.count > 1 && Set(lines.map { $0.split(separator: ",", omittingEmptySubsequences: false).count }).count == 1, "\(type)")
                default: #expect(!data.isEmpty, "\(type).\(form)")
                }
            }
        }
    }

    @Test("an export that cannot be written says so, and what was there stays") func exportsThatCannotBeWritten() throws {
        let folder = try bench.makeFolder()
        for (type, form) in [(PortType.video, "mp4"), (.video, "safetensors"), (.image, "png"), (.audio, "wav"), (.pose, "png"), (.pose, "csv"), (.table, "json")] {
            let place = "\(folder)/\(type).\(form)"
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            try Data("kept".utf8).write(to: URL(filePath: "\(place)/file"))
            for (path, reason) in [(place, "is a folder"), ("\(folder)/none/x.\(form)", "there is no folder")] {
                let error = #expect(throws: (any Error).self) { try Export.write(try sample(type), to: path) }
                let text = "\(try #require(error))"
                #expect(text.contains(path) && text.contains(reason), "\(text)")
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: place) == ["file"])
        }
        let half = Artifact(type: .pose, path: "\(folder)/gone", digest: try sample(.pose).digest)
        try Data("kept".utf8).write(to: URL(filePath: "\(folder)/old.csv"))
        #expect(throws: (any Error).self) { try Export.write(half, to: "\(folder)/old.csv") }
        #expect(try String(contentsOfFile: "\(folder)/old.csv", encoding: .utf8) == "kept")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix(".") } == [])
    }

    @Test func exportedPicturesFilmsAndSoundsHoldTheirValues() throws {
        let folder = try bench.makeFolder()
        try Export.write(try sample(.image), to: "\(folder)/image.png")
        #expect(try ImageReader.read(path: "\(folder)/image.png").pixels == SampleValues.picture(2))

        try Export.write(try sample(.video), to: "\(folder)/film.mp4")
        let film = try VideoReader(path: "\(folder)/film.mp4")
        var times: [Double] = []
        while let frame = try film.next() {
            times.append(frame.time.doubleValue)
            let truth = SampleValues.picture(times.count - 1)
            let error = zip(frame.image.pixels, truth).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) } / truth.count
            #expect(error < 12, "frame \(times.count - 1)")
        }
        #expect(film.size == FrameSize(48, 32) && times == [0, 0.04, 0.08, 0.12, 0.16])
        // A film that is a file shows its frames.
        let file = try Inspection(of: bench.file("\(folder)/film.mp4"))
        #expect(file.preview != nil && file.facts.contains { $0.label == "video codec" && $0.value.hasPrefix("h264") })

        try Export.write(try sample(.audio), to: "\(folder)/sound.wav")
        var options = AudioReader.Options()
        options.sampleRate = 8000
        let sound = try AudioReader(path: "\(folder)/sound.wav", options: options).readAll()
        let truth = try Audio(artifact: sample(.audio)).samples
        #expect(sound.count == truth.count && zip(sound, truth).allSatisfy { abs($0 - $1) < 1e-3 })
    }

    @Test func csvHoldsTheNumbers() throws {
        let folder = try bench.makeFolder()
        func lines(_ type: PortType) throws -> [String] {
            try Export.write(try sample(type), to: "\(folder)/\(type).csv")
            return try String(contentsOfFile: "\(folder)/\(type).csv", encoding: .utf8).split(whereSeparator: \.isNewline).map(String.init)
        }
        #expect(try lines(.pose).count == 1 + 5 * 75)
        #expect(try lines(.segments).dropFirst().map { $0.split(separator: ",").suffix(2).compactMap { Double($0) } } == [[0, 5], [4, 9]])
        #expect(try lines(.faceMotion)[2].split(separator: ",").compactMap { Double($0) } == [1, 0.04, 6, 7, 8, 9, 10, 11])
        #expect(try lines(.table)[1].hasPrefix("arm,0.5,2"))
    }

    @Test func wrongFormSaysWhichAreRight() throws {
        let error = #expect(throws: NodeError.self) { try Export.write(try sample(.audio), to: "x.mp4") }
        #expect("\(try #require(error))".contains(".wav"))
    }
}
