import Foundation
import Tensors

/// Frames that are too large for the memory there is.
public struct VAERoomError: Error, CustomStringConvertible {
    let verb: String
    let width, height: Int
    let isTile: Bool
    let needed, limit: Int

    public var description: String {
        let sizes = [needed, limit].map { String(format: "%.1f GB", Double($0) / 1e9) }
        return "\(verb) \(isTile ? "tiles" : "whole frames") of \(width)×\(height) takes about \(sizes[0]) of memory, and this process may use \(sizes[1]); "
            + (isTile ? "set 'tile' to less" : "have them cut into tiles, such as 'tile: 256'")
    }
}

extension CausalMemory {
    var byteCount: Int {
        frames.values.reduce(0) { $0 + 4 * $1.count } + clips.values.joined().reduce(0) { $0 + $1.byteCount }
    }
}

extension AutoencoderKLWan {
    /// Memory while a frame passes, in what layers remember of a clip's frames: measured at full width, less for pictures.
    private static let peak = (clip: 1.5, picture: 0.3)
    /// Frames of so few pixels always pass.
    private static let small = 256 * 256

    /// - Parameter encodes: Whether frames of this size are encoded; else they are decoded.
    /// - Throws: ``VAERoomError`` when they need more memory than this process may use: the system would end it without a word.
    func checkRoom(encodes: Bool, width: Int, height: Int, isTile: Bool, isClip: Bool) throws {
        guard width * height > Self.small else { return }
        // What layers remember goes by the area: that of the smallest frames tells.
        let side = 2 * configuration.spatialStride
        var memory = CausalMemory()
        for frames in [1, 4] {
            if encodes {
                _ = moments(patchified(Tensor(zeros: [3, frames, side, side])), &memory)
            } else {
                _ = self.frames(Tensor(zeros: [configuration.latentChannels, 1, 2, 2]), &memory)
            }
        }
        let remembered = Double(memory.byteCount) / Double(side * side) * Double(width) * Double(height)
        let needed = Int(remembered * (isClip ? Self.peak.clip : Self.peak.picture))
        let limit = MemoryLimit.bytes()
        guard needed > limit else { return }
        throw VAERoomError(verb: encodes ? "encoding" : "decoding", width: width, height: height, isTile: isTile, needed: needed, limit: limit)
    }
}
