/// Cuts a clip into overlapping segments for the DiT (METHOD §2, long videos).
///
/// Segment k starts at frame `k·(length − overlap)`. With an overlap of 1 its first latent is the last one of the segment before. The last
/// segment is only as long as the rest of the clip, unless all are to be whole; where that is not `1 + 4k` frames, the DiT rounds up,
/// holding the last control signal, and decoding trims the film to its true length. A clip shorter than one segment is one short segment.
struct SegmentPlan: Equatable {
    /// Frame ranges; neighbours share `overlap` frames. Within `0 ..< frames`, but for the last where all are whole.
    let ranges: [Range<Int>]

    /// Plans a clip.
    ///
    /// - Parameters:
    ///   - frames: Length of the clip, at least 1.
    ///   - length: Frames per segment, `1 + 4k` with k at least 1.
    ///   - overlap: Frames that neighbours share, fewer than a segment has.
    ///   - isWhole: Whether the last segment is as long as the others, reaching beyond the clip.
    init(frames: Int, length: Int, overlap: Int = 1, isWhole: Bool = false) {
        precondition(frames >= 1, "A clip has at least one frame.")
        precondition(length >= 5 && length % 4 == 1, "A segment has 1 + 4k frames.")
        precondition((1..<length).contains(overlap), "Segments share fewer frames than they have.")
        var ranges: [Range<Int>] = []
        var start = 0
        repeat {
            ranges.append(start..<(isWhole ? start + length : min(start + length, frames)))
            start += length - overlap
        } while start + overlap < frames
        self.ranges = ranges
    }

    /// The latent frames that code so many frames: the first codes one, every later one four.
    static func latentFrames(_ frames: Int) -> Int { 1 + (frames + 2) / 4 }
}
