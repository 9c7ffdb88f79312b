import Foundation

/// Frames on their way from the node that makes them to the nodes that take them, a few at a time: the maker waits while it is
/// ahead of a taker, a taker while the frame it wants is not made.
///
/// `@unchecked Sendable`: everything mutable is touched under `condition`'s lock only.
public final class FrameStream: @unchecked Sendable {
    /// What is known of the frames before the first one is made.
    public struct Format: Sendable, Hashable {
        public let width: Int
        public let height: Int
        public let timeline: Timeline

        public init(width: Int, height: Int, timeline: Timeline) {
            self.width = width
            self.height = height
            self.timeline = timeline
        }

        /// Of all frames, RGB.
        public var byteCount: Int { timeline.count * width * height * 3 }
    }

    /// One node's place in a stream.
    public struct Reader: Sendable, Hashable {
        public let stream: FrameStream
        let number: Int

        /// The node is done, with all frames or without.
        public func leave() { stream.leave(number) }
    }

    public let format: Format
    /// How many frames are kept for the slowest taker.
    private let capacity: Int
    /// Given back while its owner waits.
    private let makerShare: WorkTurns.Share
    private let readerShares: [WorkTurns.Share]
    private let condition = NSCondition()
    private var frames: [[UInt8]] = []
    /// The number of `frames[0]`.
    private var first = 0
    /// What each reader wants next; nil: it is done.
    private var positions: [Int?]
    private var isBroken = false
    private var isMisread = false
    private var isComplete = false

    /// - Parameters:
    ///   - maker: The threads of the node that makes the frames: given back while it waits.
    ///   - readers: Those of each node that takes them.
    ///   - capacity: How many frames the maker may be ahead of the slowest of them.
    public init(format: Format, maker: WorkTurns.Share, readers: [WorkTurns.Share], capacity: Int = 3) {
        self.format = format
        self.capacity = max(capacity, 1)
        makerShare = maker
        readerShares = readers
        positions = Array(repeating: 0, count: readers.count)
    }

    /// Whether it ended before its last frame, or otherwise than announced: what was made of it is worth nothing.
    public var failed: Bool { condition.withLock { isBroken } }

    /// Whether a taker went backwards: it may have seen what was never there.
    public var wasMisread: Bool { condition.withLock { isMisread } }

    /// A place for each node that takes the frames.
    public var readers: [Reader] { condition.withLock { positions.indices.map { Reader(stream: self, number: $0) } } }

    /// Hands on a frame of interleaved RGB bytes, `[height, width, 3]`; waits while there is no room.
    ///
    /// - Throws: ``BrokenStream`` when there are more frames than announced, or a taker went backwards.
    func append(_ rgb: UnsafeRawBufferPointer) throws {
        let frame = [UInt8](rgb)
        condition.lock()
        defer { condition.unlock() }
        wait(makerShare) { frames.count >= capacity && !isBroken && positions.contains { $0 != nil } }
        guard !isBroken, first + frames.count < format.timeline.count else { throw BrokenStream() }
        frames.append(frame)
        dropTaken()
        condition.broadcast()
    }

    /// A frame, once it is made; black when the stream broke: whoever reads on is told by ``failed``.
    func frame(_ index: Int, for reader: Int) -> [UInt8] {
        condition.lock()
        defer { condition.unlock() }
        let black = { [UInt8](repeating: 0, count: self.format.width * self.format.height * 3) }
        if index < first || positions[reader] == nil { (isBroken, isMisread) = (true, true) }
        // Earlier frames go when a later one is asked for: the same one may be read twice.
        positions[reader] = index
        dropTaken()
        condition.broadcast()
        wait(readerShares[reader]) { index >= first + frames.count && !isBroken }
        return isBroken ? black() : frames[index - first]
    }

    /// All frames were made.
    ///
    /// - Throws: ``BrokenStream`` when they are not what was announced.
    func finish(_ timeline: Timeline?) throws {
        try condition.withLock {
            if timeline != format.timeline { isBroken = true }
            isComplete = true
            condition.broadcast()
            if isBroken { throw BrokenStream() }
        }
    }

    /// The maker gave up.
    public func abandon() {
        condition.withLock {
            isBroken = isBroken || !isComplete
            condition.broadcast()
        }
    }

    fileprivate func leave(_ reader: Int) {
        condition.withLock {
            positions[reader] = nil
            dropTaken()
            condition.broadcast()
        }
    }

    private func dropTaken() {
        let needed = positions.compactMap { $0 }.min() ?? first + frames.count
        let count = min(max(needed - first, 0), frames.count)
        guard count > 0 else { return }
        frames.removeFirst(count)
        first += count
    }

    /// Waits, letting somebody else of the group work meanwhile.
    private func wait(_ share: WorkTurns.Share, while blocked: () -> Bool) {
        guard blocked() else { return }
        share.give()
        while blocked() { condition.wait() }
        condition.unlock()
        share.take()
        condition.lock()
    }
}

extension FrameStream: Hashable {
    public static func == (a: FrameStream, b: FrameStream) -> Bool { a === b }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// A stream's frames came otherwise than it was announced, or were taken out of order.
public struct BrokenStream: Error, Sendable, CustomStringConvertible {
    public init() {}
    public var description: String { "the frames came otherwise than announced" }
}
