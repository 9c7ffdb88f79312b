/// A kind of bone; left and right are one kind, measured together.
public enum BoneGroup: String, CaseIterable, Sendable {
    case spine, shoulder, upperArm, forearm, hand, hip, thigh, shin, foot, neck, head

    /// The pairs of joints that show its length, with the virtual joints of ``BoneTree``.
    var segments: [(Int, Int)] {
        switch self {
        case .spine: [(BoneTree.neck, BoneTree.midHip)]
        case .shoulder: [(11, 12)]
        case .upperArm: [(11, 13), (12, 14)]
        case .forearm: [(13, 15), (14, 16)]
        case .hand: [(33, 38), (33, 42), (33, 46), (33, 50), (54, 59), (54, 63), (54, 67), (54, 71)]
        case .hip: [(23, 24)]
        case .thigh: [(23, 25), (24, 26)]
        case .shin: [(25, 27), (26, 28)]
        case .foot: [(27, 31), (28, 32), (29, 31), (30, 32)]
        case .neck: [(BoneTree.neck, 0)]
        case .head: [(7, 8), (3, 6)]
        }
    }

    /// Whose ratio it takes when it cannot be measured itself.
    var neighbours: [BoneGroup] {
        switch self {
        case .spine: [.shoulder, .hip]
        case .shoulder: [.spine, .upperArm]
        case .upperArm: [.forearm, .shoulder]
        case .forearm: [.upperArm, .hand]
        case .hand: [.forearm]
        case .hip: [.spine, .thigh]
        case .thigh: [.shin, .hip]
        case .shin: [.thigh, .foot]
        case .foot: [.shin]
        case .neck: [.head, .spine]
        case .head: [.neck, .shoulder]
        }
    }

    /// Whether it counts when two persons' sizes are compared: hands, feet and heads are small and measured worst.
    var tellsSize: Bool {
        switch self {
        case .hand, .foot, .head: false
        default: true
        }
    }
}

/// The kinematic tree over `holistic75` with two virtual joints, rooted in the neck: half-body pictures have one.
enum BoneTree {
    static let neck = 75
    static let midHip = 76
    static let count = 77

    struct Edge {
        var child: Int
        var parent: Int
        var group: BoneGroup
    }

    /// Parents before children.
    static let edges: [Edge] = {
        var edges = [Edge(child: midHip, parent: neck, group: .spine)]
        func add(_ group: BoneGroup, _ pairs: [(Int, Int)]) {
            edges += pairs.map { Edge(child: $0.0, parent: $0.1, group: group) }
        }
        add(.shoulder, [(11, neck), (12, neck)])
        add(.upperArm, [(13, 11), (14, 12)])
        add(.forearm, [(15, 13), (16, 14)])
        add(.hand, [(17, 15), (19, 15), (21, 15), (18, 16), (20, 16), (22, 16)])
        add(.hip, [(23, midHip), (24, midHip)])
        add(.thigh, [(25, 23), (26, 24)])
        add(.shin, [(27, 25), (28, 26)])
        add(.foot, [(29, 27), (31, 27), (30, 28), (32, 28)])
        add(.neck, [(0, neck)])
        add(.head, (1...10).map { ($0, 0) })
        return edges
    }()

    static let parentEdge: [Int: Edge] = Dictionary(uniqueKeysWithValues: edges.map { ($0.child, $0) })
}

extension JointTrack {
    /// A joint's place in pixels and metres and its confidence; virtual joints lie between their two.
    func joint(_ frame: Int, _ index: Int) -> (point: SIMD2<Double>, position: SIMD3<Double>, confidence: Float) {
        let pair: (Int, Int)
        switch index {
        case BoneTree.neck: pair = (Skeleton.Joint.leftShoulder, Skeleton.Joint.rightShoulder)
        case BoneTree.midHip: pair = (Skeleton.Joint.leftHip, Skeleton.Joint.rightHip)
        default: pair = (index, index)
        }
        let p = (point(frame, pair.0) + point(frame, pair.1)) / 2
        let q = (position(frame, pair.0) + position(frame, pair.1)) / 2
        var sure = min(confidence(frame, pair.0), confidence(frame, pair.1))
        let numbers = [p.x, p.y, q.x, q.y, q.z]
        if !numbers.allSatisfy({ $0.isFinite && abs($0) < 1e6 }) { sure = 0 }
        guard sure > 0 else { return (.zero, .zero, 0) }
        return (SIMD2(Double(p.x), Double(p.y)), SIMD3(Double(q.x), Double(q.y), Double(q.z)), sure)
    }

    func isFilled(_ frame: Int, _ index: Int) -> Bool {
        switch index {
        case BoneTree.neck: filled[frame * 75 + 11] != 0 || filled[frame * 75 + 12] != 0
        case BoneTree.midHip: filled[frame * 75 + 23] != 0 || filled[frame * 75 + 24] != 0
        default: filled[frame * 75 + index] != 0
        }
    }
}
