import Foundation
import Safetensors
import Tensors
import Testing

@testable import Models

/// wav2vec 2.0 against `transformers.Wav2Vec2Model` (version and seed in each `case.json`).
@Suite("wav2vec 2.0 equals transformers'")
struct Wav2Vec2Tests {
    @Test(arguments: ["group", "layer_stable"])
    func parity(_ name: String) throws {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let folder = tests.appending(path: "Fixtures/Wav2Vec2/\(name)").path
        let network = try Wav2Vec2(WeightStore(path: folder))
        let inputs = try SafetensorsFile(path: "\(folder)/inputs.safetensors")
        let outputs = try SafetensorsFile(path: "\(folder)/outputs.safetensors")
        func expectEqual(_ actual: Tensor, _ key: String) throws {
            let expected = try Tensor(outputs, key).squeezed(0)
            try #require(actual.shape == expected.shape, "\(key)")
            let difference = actual - expected
            let relative = ((difference * difference).sum() / (expected * expected).sum()).squareRoot()
            #expect(relative <= 2e-5, "\(key): relative L2 error \(relative)")
        }
        let waveform = try inputs.array("waveform", of: Float.self)
        let samples = Wav2Vec2.normalized(waveform)
        try expectEqual(Tensor(samples), "input_values")
        let output = network(samples)
        #expect(network.frameCount(samples: samples.count) == output.last.shape[0])
        #expect(network.frameCount(samples: 16_000) == 49 && network.configuration.receptiveField == 400)
        try expectEqual(output.features, "extract_features")
        for (index, state) in output.hiddenStates.enumerated() { try expectEqual(state, "hidden_states.\(index)") }
        try expectEqual(output.last, "last_hidden_state")
    }
}
