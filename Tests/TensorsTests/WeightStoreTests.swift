import Foundation
import Safetensors
import Testing

@testable import Tensors

struct WeightStoreTests {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "weights-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func write(
        _ name: String, _ tensors: [String: [Float]], metadata: [String: String] = [:]
    ) throws {
        let writer = try SafetensorsWriter(path: folder.appending(path: name).path, metadata: metadata)
        for (key, values) in tensors.sorted(by: { $0.key < $1.key }) {
            try writer.write(key, values, shape: [values.count])
        }
        try writer.finish(sync: false)
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)".replacingOccurrences(of: folder.path, with: "…") }
        return ""
    }

    @Test func everyMisfitIsNamed() throws {
        try write("model.safetensors", ["a.weight": [1, 2], "a.bias": [.nan], "b.extra": [0], "a.scale": [1, 2, 3]])
        let weights = try WeightStore(path: folder.path)
        let scope = weights.scope("a")
        #expect(scope.tensor("weight", shape: [2]).array == [1, 2])
        _ = scope.tensor("bias", shape: [1])
        #expect(scope.tensor("scale", shape: [2]).shape == [2])
        _ = scope.tensor("missing", shape: [4, 5])
        #expect(message { try weights.finish() } == """
            …: the weights do not fit the model:
              tensor 'a.bias' holds NaN or infinity; the file is damaged
              tensor 'a.scale' has shape [3], [2] expected
              tensor 'a.missing' is missing (shape [4, 5] expected)
              tensor 'b.extra' of shape [1] is not part of the model
            """)
    }

    @Test func shardsAreJoined() throws {
        try write("model-1.safetensors", ["a": [1]])
        try write("model-2.safetensors", ["b": [2]])
        let index = #"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#
        try Data(index.utf8).write(to: folder.appending(path: "model.safetensors.index.json"))
        let weights = try WeightStore(path: folder.path)
        #expect(weights.names == ["a", "b"])
        _ = weights.tensor("a", shape: [1])
        #expect(weights.tensor("b", shape: [-1]).array == [2])
        try weights.finish()
        try FileManager.default.removeItem(at: folder.appending(path: "model-2.safetensors"))
        #expect(message { _ = try WeightStore(path: folder.path) }.contains("shard 'model-2.safetensors'"))
    }

    @Test func oneFileCarriesItsConfiguration() throws {
        struct Configuration: Decodable { var width: Int }
        try write("net.safetensors", ["a": [1]], metadata: ["config": #"{"width": 3}"#])
        let weights = try WeightStore(path: folder.appending(path: "net.safetensors").path)
        #expect(try weights.configuration(Configuration.self).width == 3)
        try write("model.safetensors", ["a": [1]])
        #expect(message { _ = try WeightStore(path: folder.path).configuration(Configuration.self) }.contains("no config.json"))
        try Data(#"{"width": "x"}"#.utf8).write(to: folder.appending(path: "config.json"))
        #expect(
            message { _ = try WeightStore(path: folder.path).configuration(Configuration.self) }
                == "…: config.json: Int expected at 'width'")
        #expect(message { _ = try WeightStore(path: "/nonexistent/vae") }.contains("does not exist"))
    }

    /// Half-precision values, subnormals and infinities among them, against their definition.
    @Test func halvesAreWidened() throws {
        let bits = (0..<UInt16.max).filter { $0 & 0x7c00 != 0x7c00 }
        let writer = try SafetensorsWriter(path: folder.appending(path: "h").path)
        for (name, type) in [("f16", DType.f16), ("bf16", DType.bf16)] {
            writer.begin(name, dtype: type, elementShape: [])
            try bits.withUnsafeBytes { try writer.append($0) }
        }
        try writer.finish(sync: false)
        let file = try SafetensorsFile(path: folder.appending(path: "h").path)
        let f16 = try Tensor(file, "f16").array, bf16 = try Tensor(file, "bf16").array
        for (index, value) in bits.enumerated() {
            let (sign, exponent, fraction) = (value >> 15, Int(value >> 10 & 31), Double(value & 1023))
            let size = exponent == 0 ? fraction * pow(2, -24) : (1 + fraction / 1024) * pow(2, Double(exponent - 15))
            guard f16[index] == Float(sign == 0 ? size : -size) else { Issue.record("f16 \(value): \(f16[index])"); break }
            guard bf16[index].bitPattern == UInt32(value) << 16 else { Issue.record("bf16 \(value)"); break }
        }
    }

    /// Layers of bf16 take what a file holds as bf16 from where it lies.
    @Test func halvesAreUsedInPlace() throws {
        let (rows, columns) = (7, 70)
        let matrix = Tensor((0..<rows * columns).map { Float($0 % 31) / 8 - 2 }, [rows, columns])
        let writer = try SafetensorsWriter(path: folder.appending(path: "m.safetensors").path)
        for (name, values) in [("good", matrix), ("bad", Tensor(repeating: .infinity, [rows, columns]))] {
            let bits = values.array.map { UInt16($0.bitPattern >> 16) }
            writer.begin(name, dtype: .bf16, elementShape: [columns])
            try bits.withUnsafeBytes { try writer.append($0) }
        }
        try writer.finish(sync: false)
        let weights = try WeightStore(path: folder.path, precision: .bf16)
        let weight = weights.root.linearWeight("good", shape: [rows, columns])
        #expect(weight.tensor.array == matrix.array && weight.precision == .bf16)
        let x = Tensor((0..<9 * columns).map { Float($0 % 13) / 4 }, [9, columns])
        #expect(x.linear(weight).array == x.linear(LinearWeight(matrix, .bf16)).array)
        #expect(weights.root.linearWeight("good", shape: [rows, columns], isLarge: false).precision == .f32)
        _ = weights.root.linearWeight("bad", shape: [rows, columns])
        #expect(message { try weights.finish() }.contains("tensor 'bad' holds NaN or infinity"))
    }

    /// Layers that find no place in memory are read from disk once, so what is wrong with their numbers comes to light when they are used.
    @Test(arguments: [Precision.f32, .bf16, .int8], [DType.f32, .bf16]) func layersThatDoNotStayAreCheckedAtUse(precision: Precision, type: DType) throws {
        let writer = try SafetensorsWriter(path: folder.appending(path: "model.safetensors").path)
        for (index, values) in [[1, 2, 3], [1, .nan, 3], [1, 2, 3] as [Float]].enumerated() {
            writer.begin("layer.\(index).weight", dtype: type, elementShape: [3])
            if type == .f32 { try values.withUnsafeBytes { try writer.append($0) } } else {
                try values.map { UInt16($0.bitPattern >> 16) }.withUnsafeBytes { try writer.append($0) }
            }
        }
        try writer.finish(sync: false)
        func stack(_ limit: Int, size: Int = 3) throws -> LayerStack<LinearWeight> {
            let weights = try WeightStore(path: folder.path, precision: precision, residentLimit: limit)
            let stack = LayerStack(weights, count: 3, prefixes: { ["layer.\($0)"] }) { root, index in
                root.scope("layer", index).linearWeight("weight", shape: [1, size])
            }
            try weights.finish()
            return stack
        }
        let damaged = "…: the weights do not fit the model:\n  tensor 'layer.1.weight' holds NaN or infinity; the file is damaged"
        #expect(message { _ = try stack(1000) } == damaged)
        let mapped = try stack(0)
        #expect(!mapped.isResident && mapped.count == 3)
        for _ in 0..<2 {
            #expect(try mapped[0].shape == [1, 3] && mapped[2].tensor.array[2] > 0)
            #expect(message { _ = try mapped[1] } == damaged)
        }
        #expect(message { _ = try stack(0, size: 4) }.contains("'layer.2.weight' has shape [1, 3], [1, 4] expected"))
    }

    /// Bytes of e4m3 without NaN, and what they stand for.
    private func eightBit(_ count: Int) -> (bytes: [UInt8], values: [Float]) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ $0 / 251) }.map { $0 & 0x7f == 0x7f ? 0 : $0 }
        let values = bytes.map { byte in
            let (exponent, fraction) = (Int(byte >> 3 & 15), Float(byte & 7) / 8)
            let size = exponent == 0 ? fraction * Float(sign: .plus, exponent: -6, significand: 1) : (1 + fraction) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
            return byte < 128 ? size : -size
        }
        return (bytes, values)
    }

    /// A matrix of e4m3 and scales of the given names and shapes; returns the factors, row by row, and what the matrix stands for without them.
    private func writeScaled(_ shape: [Int], _ scales: [(name: String, shape: [Int])], configuration: String? = nil) throws -> (factors: [Float], values: [Float]) {
        let path = folder.appending(path: "m.safetensors").path
        unlink(path)
        let writer = try SafetensorsWriter(path: path, metadata: configuration.map { ["config": $0] } ?? [:])
        let (bytes, values) = eightBit(shape.reduce(1, *))
        writer.begin("a.weight", dtype: .f8e4m3, elementShape: Array(shape.dropFirst()))
        try bytes.withUnsafeBytes { try writer.append($0) }
        var factors: [Float] = []
        for scale in scales {
            factors = (0..<scale.shape.reduce(1, *)).map { Float($0 + 1) / 8 }
            try writer.write(scale.name, factors, shape: scale.shape)
        }
        try writer.finish(sync: false)
        return (factors, values)
    }

    private func open() throws -> WeightStore { try WeightStore(path: folder.appending(path: "m.safetensors").path) }

    @Test("8-bit weights times scales per tensor, row, group and block, of which the last may be smaller")
    func scalesOfAllShapes() throws {
        let sized = #"{"quantization_config": {"weight_block_size": [96, 50]}}"#
        let cases: [(shape: [Int], name: String, scale: [Int], block: [Int], configuration: String?)] = [
            ([5, 7], "scale_weight", [], [5, 7], nil), ([5, 7], "weight_scale", [1, 1], [5, 7], nil), ([5, 5], "weight_scale", [5], [1, 5], nil),
            ([5, 7], "weight_scale", [5, 1], [1, 7], nil), ([200, 300], "weight_scale_inv", [2, 3], [128, 128], nil),
            // As many blocks as even ones of 96 rows would be: they have 128 all the same, unless the configuration says otherwise.
            ([192, 128], "weight_scale_inv", [2, 1], [128, 128], nil), ([192, 100], "weight_scale_inv", [2, 2], [96, 50], sized),
            ([200, 300], "weight_scale", [200, 3], [1, 100], nil), ([130, 20], "weight_scale_inv", [2, 1], [96, 50], sized),
        ]
        for (shape, name, scale, block, configuration) in cases {
            let (factors, values) = try writeScaled(shape, [("a.\(name)", scale)], configuration: configuration)
            let across = (shape[1] + block[1] - 1) / block[1]
            let expected = values.indices.map { values[$0] * factors[$0 / shape[1] / block[0] * across + $0 % shape[1] / block[1]] }
            let weights = try open()
            #expect(weights.tensor("a.weight", shape: shape).array == expected, "\(shape) \(scale)")
            #expect(weights.linearWeight("a.weight", shape: shape, .f32).tensor.array == expected)
            try weights.finish()
            // Rows of a matrix that the network has as two.
            guard shape[0] % 2 == 0 else { continue }
            let halves = weights.translated(by: WeightNames(names: { $0 == "a.weight" ? ["q.weight", "k.weight"] : [$0] }, aliases: { _ in [] }))
            let parts = ["q", "k"].map { halves.tensor("\($0).weight", shape: [shape[0] / 2, shape[1]]).array }
            #expect(parts[0] + parts[1] == expected, "\(shape) \(scale), halves")
        }
    }

    /// The OCP's MXFP8, with its scales as a type of their own or as bytes.
    @Test(arguments: [DType.f8e8m0, .u8]) func groupsMayBeScaledByPowersOfTwo(type: DType) throws {
        let (rows, columns) = (3, 64)
        let (bytes, values) = eightBit(rows * columns)
        let exponents: [UInt8] = [127, 130, 120, 0, 128, 126]
        func open(_ exponents: [UInt8]) throws -> WeightStore {
            let path = folder.appending(path: "\(UUID().uuidString).safetensors").path
            let writer = try SafetensorsWriter(path: path)
            for (name, dtype, shape, data) in [("a.weight", DType.f8e4m3, [columns], bytes), ("a.weight_scale", type, [2], exponents)] {
                writer.begin(name, dtype: dtype, elementShape: shape)
                try data.withUnsafeBytes { try writer.append($0) }
            }
            try writer.finish(sync: false)
            return try WeightStore(path: path)
        }
        let expected = values.indices.map { values[$0] * Float(sign: .plus, exponent: Int(exponents[$0 / 32]) - 127, significand: 1) }
        #expect(try open(exponents).tensor("a.weight", shape: [rows, columns]).array == expected)
        let damaged = try open([127, 127, 255, 127, 127, 127])
        _ = damaged.tensor("a.weight", shape: [rows, columns])
        #expect(message { try damaged.finish() }.contains("'a.weight' holds NaN"))
    }

    /// ComfyUI says beside each weight how it is stored; its MXFP8 has scales in the order of a GPU's tiles.
    @Test func formatsOfOtherProgramsAreRefused() throws {
        func said(_ format: String) throws -> String {
            let path = folder.appending(path: "\(UUID().uuidString).safetensors").path
            let writer = try SafetensorsWriter(path: path)
            try writer.write("a.weight", [1, 2], shape: [2])
            try writer.write("a.comfy_quant", Array(format.utf8), shape: [format.utf8.count])
            try writer.finish(sync: false)
            return message { _ = try WeightStore(path: path) }
        }
        #expect(try said(#"{"format": "mxfp8"}"#).contains("tensor 'a.weight' is stored as mxfp8; give the model in float8_e4m3fn"))
        #expect(try said(#"{"format": "float8_e4m3fn"}"#) == "")
        #expect(try said("{") == "")
    }

    @Test func scalesOfUnknownMeaningAreRefused() throws {
        func said(_ shape: [Int], _ scales: [(String, [Int])], _ configuration: String? = nil) throws -> String {
            _ = try writeScaled(shape, scales, configuration: configuration)
            return message {
                let weights = try open()
                _ = weights.tensor("a.weight", shape: shape)
                try weights.finish()
            }
        }
        let sized = #"{"quantization_config": {"weight_block_size": [96, 50]}}"#
        for (shape, scale, configuration) in [([300, 300], [2, 2], nil), ([6, 6], [1, 6], nil), ([6, 6], [2, 3], nil), ([200, 300], [2, 3], sized), ([6, 6], [7], nil)] {
            let text = try said(shape, [("a.weight_scale", scale)], configuration)
            #expect(text.contains("scale 'a.weight_scale' has shape \(scale) for 'a.weight' \(shape)") && text.contains("weight_block_size") == (configuration == nil), "\(text)")
        }
        #expect(try said([6, 6], [("a.weight_scale", [6]), ("a.weight_scale_inv", [1, 1])]).contains("'a.weight' has two scales"))
        #expect(try said([6, 6], [("a.scale_inv", [6])]).contains("'a.scale_inv' of shape [6] is not part of the model"))
        #expect(try said([6, 6], [], #"{"quantization_config": {"weight_block_size": [128]}}"#).contains("'weight_block_size'"))
    }

    /// Programs mark files whose 8-bit weights have scales, but write the marker into others too.
    @Test func markedFilesLackNoScale() throws {
        func said(_ names: [String]) throws -> String {
            let path = folder.appending(path: "\(UUID().uuidString).safetensors").path
            let writer = try SafetensorsWriter(path: path)
            for name in names {
                writer.begin(name, dtype: name.hasSuffix("scale_weight") ? .f32 : .f8e4m3, elementShape: [1])
                try [UInt8](repeating: 0, count: name.hasSuffix("scale_weight") ? 4 : 1).withUnsafeBytes { try writer.append($0) }
            }
            try writer.finish(sync: false)
            return message { _ = try WeightStore(path: path) }
        }
        let scaled = ["a.weight", "a.scale_weight"]
        #expect(try said(scaled + ["b.weight", "scaled_fp8"]).contains("8-bit tensor 'b.weight' has no scale ('b.scale_weight')"))
        for names in [scaled + ["b.weight"], scaled + ["scaled_fp8"], ["a.weight", "b.weight", "scaled_fp8"]] { #expect(try said(names) == "", "\(names)") }
    }
}
