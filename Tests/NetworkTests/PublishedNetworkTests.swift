import Foundation
import Safetensors
import Tensors
import Testing

@testable import Models

/// Published networks and schedulers against diffusers and transformers (version and seed in each `case.json`).
@Suite("Published networks equal their reference implementations")
struct PublishedNetworkTests {
    struct Case {
        struct Description: Decodable {
            struct Output: Decodable { var tolerance: Tolerance }
            struct Tolerance: Decodable {
                var relative: Double, absolute: Double
                enum CodingKeys: String, CodingKey { case relative = "rel_l2", absolute = "max_abs" }
            }
            var outputs: [String: Output]
        }

        let folder: String
        let inputs, outputs: SafetensorsFile
        let description: Description

        init(_ name: String) throws {
            let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            folder = tests.appending(path: "Fixtures/Published/\(name)").path
            inputs = try SafetensorsFile(path: "\(folder)/inputs.safetensors")
            outputs = try SafetensorsFile(path: "\(folder)/outputs.safetensors")
            description = try JSONDecoder().decode(Description.self, from: Data(contentsOf: URL(filePath: "\(folder)/case.json")))
        }

        func expectEqual(_ actual: [Float], _ name: String) throws {
            let expected = try Tensor(outputs, name).array
            let tolerance = try #require(description.outputs[name]).tolerance
            try #require(actual.count == expected.count, "\(name)")
            var error = 0.0, power = 0.0, largest = 0.0
            for (a, b) in zip(actual, expected) {
                error += Double(a - b) * Double(a - b)
                power += Double(b) * Double(b)
                largest = max(largest, Double(abs(a - b)))
            }
            let relative = (error / power).squareRoot()
            #expect(relative <= tolerance.relative && largest <= tolerance.absolute, "\(name): relative \(relative), largest \(largest)")
        }
    }

    @Test(arguments: [
        "wan_transformer_t2v", "wan_transformer_i2v", "wan_animate_transformer", "clip_vision", "clip_vision_projection", "umt5_encoder",
    ])
    func network(_ name: String) throws {
        let fixture = try Case(name)
        let results = try NetworkEvaluation.evaluate(model: fixture.folder, inputs: fixture.inputs)
        for output in fixture.outputs.tensors.keys.sorted() {
            try fixture.expectEqual(try #require(results[output], "\(output)").array, output)
        }
        let two = try Parallel.$threads.withValue(2) { try NetworkEvaluation.evaluate(model: fixture.folder, inputs: fixture.inputs) }
        for (output, value) in results { #expect(two[output]?.array == value.array, "\(output): other bytes with two threads") }
    }

    /// Rounded large layers change the result, but not by much.
    @Test(arguments: [
        ("wan_transformer_t2v", Precision.bf16, 1e-2), ("wan_transformer_t2v", .int8, 5e-2), ("umt5_encoder", .bf16, 1e-2), ("clip_vision", .bf16, 1e-2),
    ])
    func precisionsStayNear(_ name: String, _ precision: Precision, _ bound: Double) throws {
        let fixture = try Case(name)
        let exact = try NetworkEvaluation.evaluate(model: fixture.folder, inputs: fixture.inputs)
        let rounded = try NetworkEvaluation.evaluate(model: fixture.folder, inputs: fixture.inputs, precision: precision)
        for (name, value) in exact {
            let difference = (try #require(rounded[name]) - value).array, whole = value.array
            let error = (difference.reduce(0.0) { $0 + Double($1 * $1) } / whole.reduce(0.0) { $0 + Double($1 * $1) }).squareRoot()
            #expect(error > 0 && error < bound, "\(name): \(error)")
        }
    }

    @Test("schedulers with a linear network, and what happens before the networks", arguments: [
        "scheduler_unipc_flow", "scheduler_flow_match_euler", "clip_image_processor", "wan_animate_preprocess",
    ])
    func aroundNetworks(_ name: String) throws {
        let fixture = try Case(name)
        let results = try NetworkEvaluation.evaluate(model: fixture.folder, inputs: fixture.inputs)
        for output in fixture.outputs.tensors.keys.sorted() {
            let values = try #require(results[output], "\(output)").array
            if fixture.outputs.tensors[output]?.dtype == .i64 {
                #expect(values == (try fixture.outputs.array(output, of: Int64.self)).map { Float($0) }, "\(output)")
            } else {
                try fixture.expectEqual(values, output)
            }
        }
        #expect { try NetworkEvaluation.evaluate(model: fixture.folder, inputs: Case("umt5_encoder").inputs) } throws: { $0 is SafetensorsError }
    }

    @Test("inputs that are missing or misshapen are errors that name them")
    func wrongInputs() throws {
        let fixture = try Case("clip_vision")
        let other = try Case("umt5_encoder")
        #expect { try NetworkEvaluation.evaluate(model: fixture.folder, inputs: other.inputs) } throws: { "\($0)".contains("'pixel_values'") }
        #expect { try NetworkEvaluation.evaluate(model: other.folder, inputs: fixture.inputs) } throws: { "\($0)".contains("'input_ids'") }
    }
}
