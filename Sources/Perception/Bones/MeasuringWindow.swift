/// Which frames of a clip tell what is constant in it: how long bones are, how large a head is.
///
/// They are the first frames of the clip, and as many more as it takes where those hardly show anybody. So a clip that differs
/// from another only later on is measured the same, and what was made of its beginning holds.
public struct MeasuringWindow: Sendable, Equatable {
    /// Frames that are looked at in any case; 0: the whole clip.
    public var frames: Int

    public init(frames: Int = 24) { self.frames = frames }

    /// Collects what frames show: those of the window, and later ones until half as many as it has have shown something.
    ///
    /// - Parameters:
    ///   - count: Frames of the clip.
    ///   - sample: What one frame shows; nil: nothing.
    public func samples<Sample>(of count: Int, _ sample: (Int) -> Sample?) -> [Sample] {
        var values: [Sample] = []
        for f in 0..<count {
            if frames > 0, f >= frames, 2 * values.count >= frames { break }
            if let value = sample(f) { values.append(value) }
        }
        return values
    }
}
