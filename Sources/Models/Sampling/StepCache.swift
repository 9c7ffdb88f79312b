import Locking
import Tensors

/// Lets near steps of a sampler reuse one another's work: when the first layer changes its input almost as it did in the last step that ran
/// in full, what the remaining layers added then is added again (the field's «first-block cache»).
///
/// One cache belongs to one branch of guidance through one run of a sampler; make a new one for the next segment.
public final class StepCache: Sendable {
    /// Relative change of the first layer's contribution below which a step is not run in full; 0: every step is.
    public let threshold: Double
    private let state = Locked(State())

    private struct State {
        /// What the first layer added in the last full step, and all others after it.
        var first: Tensor?
        var rest: Tensor?
        /// The running step's tokens after the first layer.
        var now: Tensor?
        var reused = 0
    }

    public init(threshold: Double) { self.threshold = threshold }

    /// Steps that were not run in full.
    public var reusedSteps: Int { state.withLock { $0.reused } }

    /// The tokens after the last layer if they can be had without running it.
    func reuse(from input: Tensor, to output: Tensor) -> Tensor? {
        let first = output - input
        return state.withLock { state in
            state.now = output
            if let before = state.first, let rest = state.rest, before.shape == first.shape, Self.change(first, before) < threshold {
                state.reused += 1
                return output + rest
            }
            state.first = first
            return nil
        }
    }

    /// Notes the tokens after the last layer of a step that ran in full.
    func keep(_ tokens: Tensor) {
        state.withLock { state in
            guard let now = state.now else { return }
            state.rest = tokens - now
            state.now = nil
        }
    }

    /// Mean |a − b| over mean |b|.
    private static func change(_ a: Tensor, _ b: Tensor) -> Double {
        a.withUnsafeBuffer { a in
            b.withUnsafeBuffer { b in
                var difference = 0.0, size = 0.0
                for index in a.indices {
                    difference += Double(abs(a[index] - b[index]))
                    size += Double(abs(b[index]))
                }
                return size > 0 ? difference / size : .infinity
            }
        }
    }
}
