import Foundation

/// SMPL-X parameters to joints: forward kinematics on the joints of the user's own model file.
public enum SMPLX {
    static let jointCount = 55
    /// `holistic75` joint → SMPL-X joint.
    private static let direct: [Int: Int] = {
        var map = [
            11: 16, 12: 17, 13: 18, 14: 19, 15: 20, 16: 21, 23: 1, 24: 2, 25: 4, 26: 5, 27: 7, 28: 8, 31: 10, 32: 11,
            2: 23, 5: 24, 33: 20, 54: 21,
        ]
        // SMPL-X has three joints per finger: index, middle, little, ring, thumb from 25 (left) and 40 (right).
        for (hand, start) in [(Skeleton.leftHand, 25), (Skeleton.rightHand, 40)] {
            for (finger, chain) in [(5, 0), (9, 3), (17, 6), (13, 9), (1, 12)] {
                for k in 0..<3 { map[hand + finger + k] = start + chain + k }
            }
        }
        return map
    }()

    /// - Parameters:
    ///   - motion: `.npz` with `poses` [frames, 165] (or `global_orient`, `body_pose`, hand poses), `betas`, `trans`; also SMPL+H's
    ///     [frames, 156], as AMASS has it, whose shape is then not taken over: its `betas` span another space.
    ///   - model: The SMPL-X model's `.npz`: `v_template`, `shapedirs`, `J_regressor`, `kintree_table`.
    ///   - rate: Frames per second where the motion does not state its own.
    ///   - zUp: Whether the motion's world has z upwards (AMASS) rather than y.
    /// - Throws: ``PerceptionError`` naming the array that is missing or misshapen.
    public static func track(motion: String, model: String, rate: Double?, zUp: Bool, width: Int, height: Int) throws -> JointTrack {
        let archive = try NumpyArchive(path: motion)
        let (poses, isSMPLX) = try poses(archive, path: motion)
        let frames = poses.count / (jointCount * 3)
        guard frames > 0 else { throw PerceptionError("'\(motion)' has no frames") }
        let betas = isSMPLX ? try archive.array("betas")?.values ?? [] : []
        let shift = try (archive.array("trans") ?? archive.array("transl"))?.values ?? []
        let body = try Body(path: model, betas: betas)
        let stated = try (archive.array("mocap_frame_rate") ?? archive.array("mocap_framerate"))?.values.first
        guard let fps = stated ?? rate, fps > 0, fps < 10_000 else {
            throw PerceptionError("'\(motion)' does not tell its frame rate: set the parameter 'fps'")
        }
        var result = SpatialMotion(frames: [], times: (0..<frames).map { Double($0) / fps })
        for f in 0..<frames {
            let (joints, rotations) = body.forward(Array(poses[(f * 165)..<((f + 1) * 165)]))
            let move = shift.count >= 3 * (f + 1) ? SIMD3(shift[3 * f], shift[3 * f + 1], shift[3 * f + 2]) : .zero
            var places: [Int: SIMD3<Double>] = direct.mapValues { joints[$0] }
            estimate(&places, joints, rotations)
            result.frames.append(places.mapValues { p in
                let q = p + move
                return zUp ? SIMD3(q.x, -q.z, q.y) : SIMD3(q.x, -q.y, -q.z)
            })
        }
        result.estimated = Set([0, 1, 3, 4, 6, 7, 8, 9, 10, 17, 18, 19, 20, 21, 22, 29, 30] + tips)
        return result.track(width: width, height: height)
    }

    private static let tips = [Skeleton.leftHand, Skeleton.rightHand].flatMap { hand in [4, 8, 12, 16, 20].map { hand + $0 } }

    /// Points that the model's joints do not include, from those near them and the head's rotation.
    private static func estimate(_ p: inout [Int: SIMD3<Double>], _ joints: [SIMD3<Double>], _ rotations: [[Double]]) {
        func head(_ x: Double, _ y: Double, _ z: Double) -> SIMD3<Double> { Matrix3.apply(rotations[15], SIMD3(x, y, z)) }
        let eyes = (joints[23] + joints[24]) / 2
        p[0] = eyes + head(0, -0.035, 0.04)
        for (inner, eye, outer, joint, s) in [(1, 2, 3, 23, 1.0), (4, 5, 6, 24, -1.0)] {
            p[inner] = joints[joint] + head(-0.015 * s, 0, 0)
            p[eye] = joints[joint]
            p[outer] = joints[joint] + head(0.015 * s, 0, 0)
        }
        p[7] = eyes + head(0.075, -0.01, -0.09)
        p[8] = eyes + head(-0.075, -0.01, -0.09)
        p[9] = eyes + head(0.025, -0.075, 0.015)
        p[10] = eyes + head(-0.025, -0.075, 0.015)
        for (heel, ankle) in [(29, 7), (30, 8)] {
            p[heel] = joints[ankle] + Matrix3.apply(rotations[ankle], SIMD3(0, -0.05, -0.05))
        }
        for (hand, points) in [(Skeleton.leftHand, (17, 19, 21)), (Skeleton.rightHand, (18, 20, 22))] {
            for tip in [4, 8, 12, 16, 20] {
                if let a = p[hand + tip - 2], let b = p[hand + tip - 1] { p[hand + tip] = b + (b - a) * 0.8 }
            }
            p[points.0] = p[hand + 17]
            p[points.1] = p[hand + 5]
            p[points.2] = p[hand + 2]
        }
    }

    /// `[frames, 55, 3]` axis angles, and whether they are SMPL-X's own rather than SMPL+H's.
    private static func poses(_ archive: NumpyArchive, path: String) throws -> ([Double], isSMPLX: Bool) {
        for name in ["poses", "fullpose"] {
            guard let array = try archive.array(name) else { continue }
            let width = array.shape.count > 1 && array.shape[0] > 0 ? array.values.count / array.shape[0] : 0
            switch width {
            case 165: return (array.values, true)
            case 156:
                // SMPL+H: 22 joints of the body, then the hands; no jaw and eyes between.
                let still = [Double](repeating: 0, count: 9)
                var poses: [Double] = []
                poses.reserveCapacity(array.shape[0] * 165)
                for at in stride(from: 0, to: array.values.count, by: 156) {
                    poses += array.values[at..<(at + 66)]
                    poses += still
                    poses += array.values[(at + 66)..<(at + 156)]
                }
                return (poses, false)
            default:
                throw PerceptionError(
                    "'\(path)': '\(name)' has shape \(array.shape); [frames, 165] (SMPL-X, 55 joints) or [frames, 156] (SMPL+H, 52 joints) expected")
            }
        }
        guard let root = try archive.array("global_orient") ?? archive.array("root_orient"),
            let body = try archive.array("body_pose") ?? archive.array("pose_body")
        else {
            throw PerceptionError("'\(path)' has neither 'poses' nor 'global_orient' and 'body_pose'; it has \(archive.names.joined(separator: ", "))")
        }
        let frames = root.values.count / 3
        func part(_ names: [String], _ width: Int) throws -> [Double] {
            for name in names {
                guard let array = try archive.array(name) else { continue }
                guard array.values.count == frames * width else {
                    throw PerceptionError("'\(path)': '\(name)' has shape \(array.shape); [\(frames), \(width)] expected")
                }
                return array.values
            }
            return [Double](repeating: 0, count: frames * width)
        }
        guard body.values.count == frames * 63 else {
            throw PerceptionError("'\(path)': the body pose has shape \(body.shape); [\(frames), 63] expected")
        }
        let parts: [([Double], Int)] = [
            (root.values, 3), (body.values, 63), (try part(["jaw_pose"], 3), 3), (try part(["leye_pose"], 3), 3),
            (try part(["reye_pose"], 3), 3), (try part(["left_hand_pose"], 45), 45), (try part(["right_hand_pose"], 45), 45),
        ]
        let poses = (0..<frames).flatMap { f in parts.flatMap { $0.0[(f * $0.1)..<((f + 1) * $0.1)] } }
        return (poses, true)
    }

    /// The model at rest for one shape.
    private struct Body {
        var rest: [SIMD3<Double>]
        var parents: [Int]

        init(path: String, betas: [Double]) throws {
            let archive = try NumpyArchive(path: path)
            func array(_ name: String) throws -> NumpyArray {
                guard let array = try archive.array(name) else {
                    throw PerceptionError("'\(path)' is no SMPL-X model: it has no '\(name)'")
                }
                return array
            }
            let template = try array("v_template")
            let regressor = try array("J_regressor")
            let tree = try array("kintree_table")
            let shapes = try array("shapedirs")
            guard template.shape.count == 2, template.shape[1] == 3, regressor.shape == [jointCount, template.shape[0]],
                tree.shape == [2, jointCount], shapes.shape.count == 3, shapes.shape[0] == template.shape[0], shapes.shape[1] == 3
            else {
                throw PerceptionError(
                    "'\(path)' is no SMPL-X model: template \(template.shape), regressor \(regressor.shape), tree \(tree.shape), shapes \(shapes.shape)")
            }
            let (vertices, kinds) = (template.shape[0], shapes.shape[2])
            var points = template.values
            for (b, beta) in betas.prefix(kinds).enumerated() where beta != 0 {
                for i in 0..<(vertices * 3) { points[i] += beta * shapes.values[i * kinds + b] }
            }
            rest = (0..<jointCount).map { j in
                var sum = SIMD3<Double>.zero
                for v in 0..<vertices {
                    let w = regressor.values[j * vertices + v]
                    if w != 0 { sum += w * SIMD3(points[3 * v], points[3 * v + 1], points[3 * v + 2]) }
                }
                return sum
            }
            // The root's parent is written as −1 or 2³² − 1.
            parents = (0..<jointCount).map { j in
                let value = tree.values[j]
                return value >= 0 && value < Double(jointCount) ? Int(value) : -1
            }
            for j in 1..<jointCount where !(0..<j).contains(parents[j]) {
                throw PerceptionError("'\(path)': 'kintree_table' names no earlier parent for joint \(j)")
            }
        }

        func forward(_ pose: [Double]) -> ([SIMD3<Double>], [[Double]]) {
            var places = rest
            var rotations = [[Double]](repeating: Matrix3.identity, count: jointCount)
            for j in 0..<jointCount {
                let local = Matrix3.rotation(Array(pose[(3 * j)..<(3 * j + 3)]))
                if j == 0 {
                    rotations[0] = local
                } else {
                    let parent = parents[j]
                    rotations[j] = Matrix3.product(rotations[parent], local)
                    places[j] = places[parent] + Matrix3.apply(rotations[parent], rest[j] - rest[parent])
                }
            }
            return (places, rotations)
        }
    }
}
