import CKernels

extension Tensor {
    private typealias RowKernel = @Sendable (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void

    /// Runs a kernel over the rows of the last dimension.
    private func rowwise(_ kernel: @escaping RowKernel) -> Tensor {
        let width = shape.last ?? 1
        guard width > 0, count > 0 else { return self }
        let source = Shared(pointer)
        return withExtendedLifetime(storage) {
            Tensor.filled(shape) { out in
                Parallel.forEachRange(count: count / width, length: max(1, (1 << 15) / width)) {
                    kernel(out.pointer + $0.lowerBound * width, source.pointer + $0.lowerBound * width, $0.count)
                }
            }
        }
    }

    /// Layer norm over the last dimension, with an optional scale and shift.
    ///
    /// - Parameters:
    ///   - weight: One row of the last dimension's size, or one for each of equal stretches of rows.
    ///   - bias: As many rows as the weight has.
    public func layerNorm(_ weight: Tensor? = nil, _ bias: Tensor? = nil, eps: Float) -> Tensor {
        let width = shape.last ?? 1
        guard width > 0, count > 0 else { return self }
        let rows = count / width
        let stretch = (weight ?? bias).map { Self.stretch(rows: rows, width: width, $0) } ?? rows
        precondition(
            weight == nil || bias == nil || weight?.count == bias?.count,
            "a layer norm cannot take a weight of shape \(weight?.shape ?? []) and a bias of shape \(bias?.shape ?? [])")
        let x = Shared((pointer, weight?.pointer, bias?.pointer))
        return withExtendedLifetime((storage, weight, bias)) {
            Tensor.filled(shape) { out in
                Parallel.forEachRange(count: rows, length: max(1, (1 << 15) / width)) { range in
                    var row = range.lowerBound
                    while row < range.upperBound {
                        let factor = row / stretch
                        let end = min((factor + 1) * stretch, range.upperBound)
                        us_layer_norm(
                            out.pointer + row * width, x.pointer.0 + row * width, x.pointer.1.map { $0 + factor * width },
                            x.pointer.2.map { $0 + factor * width }, eps, end - row, width)
                        row = end
                    }
                }
            }
        }
    }

    /// RMS norm over the last dimension, x / √(mean x² + eps), with an optional scale of that size.
    public func rmsNorm(_ weight: Tensor? = nil, eps: Float) -> Tensor {
        let width = shape.last ?? 1
        precondition(
            weight.map { $0.count == width } ?? true, "a norm over \(shape) cannot take a weight of shape \(weight?.shape ?? [])")
        let w = Shared(weight?.pointer)
        return withExtendedLifetime(weight) { rowwise { us_rms_norm($0, $1, w.pointer, eps, $2, width) } }
    }

    /// Softmax over the last dimension.
    public func softmax() -> Tensor {
        let width = shape.last ?? 1
        return rowwise { us_softmax($0, $1, $2, width) }
    }

    /// Norm over the channels of a channel-first tensor, x / max(‖x‖, 1e-12)·√C·gamma, then SiLU if asked.
    ///
    /// - Parameter gamma: One scale per channel; `C` elements in any shape.
    /// - Returns: `[C, …]` as self.
    public func channelNorm(_ gamma: Tensor, silu: Bool = false) -> Tensor {
        precondition(
            rank >= 2 && gamma.count == shape[0], "a channel norm of shape \(shape) cannot take a gamma of \(gamma.shape)")
        let channels = shape[0], positions = count / channels
        let source = Shared((x: pointer, gamma: gamma.pointer))
        return withExtendedLifetime((storage, gamma)) {
            Tensor.filled(shape) { out in
                Parallel.forEachRange(count: positions, length: 1024) { range in
                    withUnsafeTemporaryAllocation(of: Float.self, capacity: 1024) { work in
                        us_channel_norm(
                            out.pointer + range.lowerBound, positions, source.pointer.x + range.lowerBound, positions,
                            source.pointer.gamma, 1e-12, channels, range.count, silu, work.baseAddress)
                    }
                }
            }
        }
    }

    /// How a head's channels pair up for a rotary embedding.
    public enum RotaryPairs: Sendable {
        /// (0, 1), (2, 3), …
        case interleaved
        /// (i, i + width/2).
        case halves
    }

    /// Rotary position embedding: pairs of channels are rotated by the angles of their token.
    ///
    /// - Parameters:
    ///   - cosine: `[tokens, width/2]`, as `sine`.
    ///   - heads: Heads next to each other in the last dimension of self.
    /// - Returns: `[…, tokens, heads·width]` as self.
    public func rotary(_ cosine: Tensor, _ sine: Tensor, heads: Int, _ pairs: RotaryPairs = .interleaved) -> Tensor {
        precondition(rank >= 2 && heads > 0 && shape[rank - 1] % heads == 0, "\(shape) does not split into \(heads) heads")
        let tokens = shape[rank - 2], row = shape[rank - 1], width = row / heads
        precondition(
            cosine.shape == [tokens, width / 2] && sine.shape == cosine.shape && width % 2 == 0,
            "a rotary embedding of \(shape) in \(heads) heads needs tables [\(tokens), \(width / 2)], not \(cosine.shape)")
        let x = Shared(pointer), tables = Shared((cosine.pointer, sine.pointer))
        return withExtendedLifetime((storage, cosine, sine)) {
            Tensor.filled(shape) { out in
                Parallel.forEachRange(count: count / row, length: max(1, (1 << 15) / row)) { range in
                    for index in range {
                        let angle = index % tokens * (width / 2)
                        us_rotary(
                            out.pointer + index * row, x.pointer + index * row, tables.pointer.0 + angle,
                            tables.pointer.1 + angle, heads, width, pairs == .interleaved)
                    }
                }
            }
        }
    }

    /// Doubles the last two dimensions, nearest neighbour.
    public func upsampled2x() -> Tensor {
        precondition(rank >= 2, "a tensor of shape \(shape) has no height and width")
        let height = shape[rank - 2], width = shape[rank - 1]
        let x = Shared(pointer)
        return withExtendedLifetime(storage) {
            Tensor.filled(shape.dropLast(2) + [2 * height, 2 * width]) { out in
                let planes = count / max(height * width, 1)
                Parallel.forEachRange(count: planes, length: max(1, (1 << 15) / max(height * width, 1))) {
                    us_upsample2x(
                        out.pointer + $0.lowerBound * 4 * height * width, x.pointer + $0.lowerBound * height * width,
                        $0.count, height, width)
                }
            }
        }
    }
}
