import Foundation
import Safetensors
import Tensors

/// What the index of a published pipeline (`model_index.json`, or `modular_model_index.json`) says about its sampling.
public struct PipelineConfiguration: Decodable, Sendable {
    /// The share of all timesteps below which `transformer_2` takes over; nil: there is one network.
    public let boundaryRatio: Double?
    /// Whether every token has a timestep of its own, and a known first frame is given clean at timestep 0.
    public let expandsTimesteps: Bool

    private enum CodingKeys: String, CodingKey {
        case boundaryRatio = "boundary_ratio", expandsTimesteps = "expand_timesteps"
    }

    /// One network, one timestep for all tokens.
    public init() { (boundaryRatio, expandsTimesteps) = (nil, false) }

    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        boundaryRatio = try c.decodeIfPresent(Double.self, forKey: .boundaryRatio)
        expandsTimesteps = try c.decodeIfPresent(Bool.self, forKey: .expandsTimesteps) ?? false
        if let boundaryRatio, !(0...1).contains(boundaryRatio) {
            throw DecodingError.dataCorruptedError(forKey: .boundaryRatio, in: c, debugDescription: "boundary_ratio is \(boundaryRatio), 0 … 1 expected")
        }
    }

    /// Reads the index of a pipeline's folder.
    ///
    /// - Throws: `WeightError` when it cannot be read as such.
    public init(folder: String) throws {
        let names = ["model_index.json", "modular_model_index.json"].map { "\(folder)/\($0)" }
        let path = names.first { FileManager.default.fileExists(atPath: $0) } ?? names[0]
        do {
            self = try JSONDecoder().decode(Self.self, text: Data(contentsOf: URL(filePath: path)))
        } catch {
            throw WeightError(path: path, "is not a pipeline's index: \(JSONDecoder.words(error))")
        }
    }
}
