import Foundation

/// Biovision hierarchy files: a skeleton and its motion as text.
public enum BVH {
    private struct Node {
        var name: String
        var parent: Int?
        var offset: SIMD3<Double>
        var channels: [String] = []
        var firstChannel = 0
    }

    /// The words of a text one after another, with the number of the line that the last one stands on.
    private struct Words {
        private let text: String.UTF8View
        private var position: String.Index
        private(set) var line = 1

        init(_ text: String) {
            self.text = text.utf8
            position = text.utf8.startIndex
        }

        mutating func next() -> Substring? {
            while position < text.endIndex, text[position] <= 32 {
                if text[position] == 10 { line += 1 }
                position = text.index(after: position)
            }
            let start = position
            while position < text.endIndex, text[position] > 32 { position = text.index(after: position) }
            return start == position ? nil : Substring(text[start..<position])
        }
    }

    /// Reads a motion.
    ///
    /// - Parameter unit: Metres per unit of the file; nil takes the one of the usual units in which the person is most nearly as tall as people are.
    /// - Throws: ``PerceptionError`` with the line and word at which the file stops making sense, or the joints that were not found.
    public static func track(_ text: String, name: String, unit: Double?, width: Int, height: Int) throws -> JointTrack {
        var words = Words(text)
        func fail(_ what: String) -> PerceptionError { PerceptionError("'\(name)', line \(words.line): is no readable BVH file: \(what)") }
        func word() throws -> Substring {
            guard let next = words.next() else { throw fail("it ends early") }
            return next
        }
        func number() throws -> Double {
            let next = try word()
            guard let value = Double(next), value.isFinite else { throw fail("a number expected, '\(next)' found") }
            return value
        }
        func expect(_ expected: String) throws {
            let next = try word()
            guard next.uppercased() == expected else { throw fail("'\(expected)' expected, '\(next)' found") }
        }
        try expect("HIERARCHY")
        var nodes: [Node] = []
        var open: [Int] = []
        var channels = 0
        reading: while true {
            let next = try word()
            switch next.uppercased() {
            case "ROOT", "JOINT", "END":
                // Biped's names have spaces: Bip01 L Thigh.
                var called = ""
                while case let part = try word(), part != "{" {
                    called += part
                    guard called.count < 200 else { throw fail("'{' expected after the joint's name") }
                }
                nodes.append(
                    Node(name: next.uppercased() == "END" ? (open.last.map { nodes[$0].name } ?? "") + "End" : called, parent: open.last, offset: .zero))
                open.append(nodes.count - 1)
                guard nodes.count <= 10_000 else { throw fail("more than 10 000 joints") }
            case "OFFSET":
                guard let current = open.last else { throw fail("an OFFSET outside a joint") }
                nodes[current].offset = SIMD3(try number(), try number(), try number())
            case "CHANNELS":
                guard let current = open.last else { throw fail("CHANNELS outside a joint") }
                let count = try number()
                guard (0...6).contains(count) else { throw fail("\(count) channels of a joint") }
                nodes[current].firstChannel = channels
                nodes[current].channels = try (0..<Int(count)).map { _ in try word().lowercased() }
                channels += Int(count)
            case "}":
                guard open.popLast() != nil else { throw fail("a '}' too many") }
            case "MOTION": break reading
            default: throw fail("'\(next)' in the hierarchy")
            }
        }
        try expect("FRAMES:")
        let frames = try number()
        try expect("FRAME")
        try expect("TIME:")
        let interval = try number()
        guard frames >= 1, frames <= 1e6, interval > 0, channels > 0 else { throw fail("\(frames) frames of \(interval) seconds") }
        var motion = SpatialMotion(frames: [], times: (0..<Int(frames)).map { Double($0) * interval })
        let map = try Self.map(nodes.map(\.name), file: name)
        let scale = unit ?? guessedUnit(nodes, map)
        for frame in 0..<Int(frames) {
            let values = try (0..<channels).map { _ in
                guard let next = words.next() else { throw fail("it ends in frame \(frame) of the \(Int(frames)) that it announces") }
                guard let value = Double(next), value.isFinite else { throw fail("a number expected, '\(next)' found") }
                return value
            }
            let places = forward(nodes, values)
            motion.frames.append(map.mapValues { SIMD3(places[$0].x, -places[$0].y, -places[$0].z) * scale })
        }
        for f in motion.frames.indices { estimate(&motion.frames[f]) }
        motion.estimated = [0, 7, 8]
        return motion.track(width: width, height: height)
    }

    /// Metres per unit: of metres, centimetres, inches, millimetres and CMU's 1/0.45 inch the one in which ankle to head comes nearest to 1.45 m.
    private static func guessedUnit(_ nodes: [Node], _ map: [Int: Int]) -> Double {
        var lengths = [Double](repeating: 0, count: nodes.count)
        for (i, node) in nodes.enumerated() {
            guard let parent = node.parent else { continue }
            lengths[i] = lengths[parent] + (node.offset * node.offset).sum().squareRoot()
        }
        let leg = [27, 28, 25, 26].lazy.compactMap { map[$0] }.first
        let height = [leg, map[0]].compactMap { $0.map { lengths[$0] } }.reduce(0, +)
        guard height > 0 else { return 1 }
        func misfit(_ unit: Double) -> Double { abs(log(height * unit / 1.45)) }
        return [1, 0.01, 0.0254, 0.001, 0.0254 / 0.45].min { misfit($0) < misfit($1) } ?? 1
    }

    private static func forward(_ nodes: [Node], _ values: [Double]) -> [SIMD3<Double>] {
        var places = [SIMD3<Double>](repeating: .zero, count: nodes.count)
        var rotations = [[Double]](repeating: Matrix3.identity, count: nodes.count)
        for (i, node) in nodes.enumerated() {
            var offset = node.offset
            var local = Matrix3.identity
            var moved = SIMD3<Double>.zero
            for (k, channel) in node.channels.enumerated() {
                let value = values[node.firstChannel + k]
                let angle = value * .pi / 180
                switch channel {
                case "xposition": moved.x = value
                case "yposition": moved.y = value
                case "zposition": moved.z = value
                case "xrotation": local = Matrix3.product(local, Matrix3.rotation([angle, 0, 0]))
                case "yrotation": local = Matrix3.product(local, Matrix3.rotation([0, angle, 0]))
                case "zrotation": local = Matrix3.product(local, Matrix3.rotation([0, 0, angle]))
                default: break
                }
            }
            // Position channels of the root replace nothing: they add to its offset, which is zero in most files.
            offset += moved
            if let parent = node.parent {
                places[i] = places[parent] + Matrix3.apply(rotations[parent], offset)
                rotations[i] = Matrix3.product(rotations[parent], local)
            } else {
                places[i] = offset
                rotations[i] = local
            }
        }
        return places
    }

    /// The file's joint for each `holistic75` joint, by the names that CMU, Mixamo, Biovision, Biped and DAZ files use.
    private static func map(_ names: [String], file: String) throws -> [Int: Int] {
        var index: [String: Int] = [:]
        for (i, name) in names.enumerated() {
            let bare = name.lowercased().split(separator: ":").last.map(String.init) ?? name.lowercased()
            var plain = bare.filter { $0.isLetter || $0.isNumber }
            if plain.hasPrefix("bip0") { plain = String(plain.drop { !$0.isNumber }.drop(while: \.isNumber)) }
            index[plain] = i
        }
        var map: [Int: Int] = [:]
        func find(_ joint: Int, _ candidates: [String]) { map[joint] = candidates.lazy.compactMap { index[$0] }.first }
        for (s, side, short) in [(0, "left", "l"), (1, "right", "r")] {
            find(11 + s, ["\(side)arm", "\(side)uparm", "\(side)shoulder", "\(short)shldr", "\(short)upperarm"])
            find(13 + s, ["\(side)forearm", "\(side)lowarm", "\(side)elbow", "\(short)forearm", "\(short)lowerarm"])
            find(15 + s, ["\(side)hand", "\(side)wrist", "\(short)hand"])
            find(23 + s, ["\(side)upleg", "\(side)hip", "\(side)thigh", "\(short)thigh"])
            find(25 + s, ["\(side)leg", "\(side)lowleg", "\(side)knee", "\(side)shin", "\(short)shin", "\(short)calf"])
            find(27 + s, ["\(side)foot", "\(side)ankle", "\(short)foot"])
            find(31 + s, ["\(side)toebase", "\(side)toe", "\(side)footend", "\(short)foottoe", "\(short)footend"])
            let hand = s == 0 ? Skeleton.leftHand : Skeleton.rightHand
            find(hand, ["\(side)hand", "\(side)wrist", "\(short)hand"])
            for (finger, first) in [("thumb", 1), ("index", 5), ("middle", 9), ("ring", 13), ("pinky", 17)] {
                for k in 1...4 {
                    find(
                        hand + first + k - 1,
                        ["\(side)hand\(finger)\(k)", "\(short)\(finger)\(k)"] + (k == 4 ? ["\(side)hand\(finger)3end", "\(short)\(finger)3end"] : []))
                }
            }
        }
        find(0, ["head"])
        let needed = [(11, "left shoulder"), (12, "right shoulder"), (15, "left hand"), (16, "right hand"), (23, "left hip"), (24, "right hip")]
        let missing = needed.filter { map[$0.0] == nil }.map(\.1)
        guard missing.isEmpty else {
            throw PerceptionError(
                "'\(file)': no joint for \(missing.joined(separator: ", ")) among \(names.filter { !$0.hasSuffix("End") }.joined(separator: ", "))")
        }
        return map
    }

    /// The head joint is the top of the neck: nose and ears lie above and before it.
    private static func estimate(_ p: inout [Int: SIMD3<Double>]) {
        guard let head = p[0], let left = p[11], let right = p[12] else { return }
        func unit(_ v: SIMD3<Double>) -> SIMD3<Double> { v / max((v * v).sum().squareRoot(), 1e-9) }
        let across = unit(left - right)
        let up = unit(head - (left + right) / 2)
        let back = unit(SIMD3(
            up.y * across.z - up.z * across.y, up.z * across.x - up.x * across.z, up.x * across.y - up.y * across.x))
        p[0] = head + up * 0.08 - back * 0.1
        p[7] = head + up * 0.1 + across * 0.075
        p[8] = head + up * 0.1 - across * 0.075
    }
}
