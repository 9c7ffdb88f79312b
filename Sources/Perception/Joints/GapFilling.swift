/// What stands in for measurements that are missing, decided by what comes before and little of what comes after.
///
/// A gap is bridged when it is short enough. Where its end lies within the look-ahead, the value moves there in a straight line;
/// as long as it does not, the last value is held, for no longer than it may take until the end comes into view.
struct GapFilling {
    /// The longest gap that is bridged, seconds.
    var longestGap: Double
    /// How far ahead of a missing frame a measured one counts, seconds.
    var lookAhead: Double

    /// Between which measured frames a missing one is interpolated; one and the same: its value is held.
    struct Source {
        var before: Int
        var after: Int
        /// 0 at `before`, 1 at `after`.
        var position: Double

        func value(_ values: [Double]) -> Double { values[before] + (values[after] - values[before]) * position }
    }

    /// The source of every missing frame that is filled; nil for the measured ones and those that stay missing.
    func sources(measured: [Bool], times: [Double]) -> [Source?] {
        var result = [Source?](repeating: nil, count: measured.count)
        var before: Int?
        var after = 0
        for f in measured.indices {
            guard !measured[f] else {
                before = f
                continue
            }
            after = max(after, f)
            while after < measured.count, !measured[after] { after += 1 }
            let next = after < measured.count && times[after] - times[f] <= lookAhead + 1e-9 ? after : nil
            switch (before, next) {
            case (let b?, let a?) where times[a] - times[b] <= longestGap + 1e-9:
                let start = max(times[b], times[a] - lookAhead)
                let k = max(0, times[f] - start) / max(times[a] - start, 1e-9)
                result[f] = Source(before: b, after: a, position: k)
            case (let b?, nil) where times[f] - times[b] <= longestGap - lookAhead + 1e-9:
                result[f] = Source(before: b, after: b, position: 0)
            case (nil, let a?) where 2 * (times[a] - times[0]) <= longestGap + 1e-9:
                result[f] = Source(before: a, after: a, position: 0)
            default: break
            }
        }
        return result
    }
}
