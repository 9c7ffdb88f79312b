import Foundation

/// Reads skeletons in the files of other trackers into ``JointTrack``.
public enum KeypointFiles {
    /// OpenPose's 25 and 18 points as `holistic75` joints; nil: no counterpart (neck, middle of the hips, small toes).
    private static let body25: [Int?] = [
        0, nil, 12, 14, 16, 11, 13, 15, nil, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7, 31, nil, 29, 32, nil, 30,
    ]
    private static let body18: [Int?] = [0, nil, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7]
    /// COCO's 17 points, then the six of the feet.
    private static let coco: [Int?] = [
        0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 31, nil, 29, 32, nil, 30,
    ]

    /// Corners of eyes and mouth among the 68 points of a face, both formats' order: point, joint.
    private static let face68 = [(36, 6), (39, 4), (42, 1), (45, 3), (48, 10), (54, 9)]

    /// OpenPose's JSON, one file per frame in name order; of several people the most confident one.
    ///
    /// - Parameter files: Name and bytes of each frame's file.
    /// - Throws: ``PerceptionError`` naming the file that is none of OpenPose's.
    public static func openPose(_ files: [(name: String, bytes: Data)], times: [Double], width: Int, height: Int) throws -> JointTrack {
        var track = JointTrack(times: times, width: width, height: height)
        for (f, file) in files.enumerated() where f < times.count {
            guard let object = try? JSONSerialization.jsonObject(with: file.bytes) as? [String: Any],
                let people = object["people"] as? [[String: Any]]
            else { throw PerceptionError("'\(file.name)' is no OpenPose file: an object with 'people' expected") }
            let bodies = people.map { numbers($0["pose_keypoints_2d"]) }
            func total(_ i: Int) -> Double { stride(from: 2, to: bodies[i].count, by: 3).reduce(0) { $0 + bodies[i][$1] } }
            guard let best = bodies.indices.max(by: { (total($0), -$0) < (total($1), -$1) }) else { continue }
            let body = bodies[best]
            guard body.count == 75 || body.count == 54 || body.isEmpty else {
                throw PerceptionError(
                    "'\(file.name)': \(body.count) numbers in 'pose_keypoints_2d'; 75 (BODY_25) or 54 (COCO) expected")
            }
            enter(body, body.count == 75 ? body25 : body18, f, &track)
            enterFace(numbers(people[best]["face_keypoints_2d"]), f, &track)
            enterHand(numbers(people[best]["hand_left_keypoints_2d"]), Skeleton.leftHand, f, &track)
            enterHand(numbers(people[best]["hand_right_keypoints_2d"]), Skeleton.rightHand, f, &track)
        }
        return track
    }

    /// COCO whole-body JSON: an annotation file, or a list of results with 133 key points each. Frames are images in the
    /// order of their ids; of several people the most confident one.
    ///
    /// - Parameter size: The canvas when the file does not tell.
    /// - Throws: ``PerceptionError`` when the file is neither.
    public static func cocoWholeBody(_ bytes: Data, name: String, rate: Double, size: (Int, Int)?) throws -> JointTrack {
        let root = try? JSONSerialization.jsonObject(with: bytes)
        let object = root as? [String: Any]
        guard let people = object?["annotations"] as? [[String: Any]] ?? root as? [[String: Any]] else {
            throw PerceptionError("'\(name)' is no COCO file: 'annotations', or a list of results, expected")
        }
        let images = object?["images"] as? [[String: Any]] ?? []
        let known = images.compactMap { identity($0["id"]) }
        // File names are ids too (AlphaPose): 9.jpg comes before 10.jpg.
        let ids = Set(known.isEmpty ? people.compactMap { identity($0["image_id"]) } : known).sorted { $0.compare($1, options: .numeric) == .orderedAscending }
        guard !ids.isEmpty else { throw PerceptionError("'\(name)' has no images: 'image_id' must be a number or a name in every entry") }
        let sizes = Set(images.compactMap { image in (image["width"] as? Int).flatMap { w in (image["height"] as? Int).map { [w, $0] } } })
        guard sizes.count <= 1 else {
            throw PerceptionError("'\(name)' has images of \(sizes.count) sizes: the frames of one clip expected")
        }
        let told = images.first.flatMap { image in
            (image["width"] as? Int).flatMap { w in (image["height"] as? Int).map { (w, $0) } }
        }
        guard let canvas = told ?? size, canvas.0 > 0, canvas.1 > 0, canvas.0 < 100_000, canvas.1 < 100_000 else {
            throw PerceptionError("'\(name)' does not tell the size of its images: set the parameter 'size'")
        }
        var track = JointTrack(times: ids.indices.map { Double($0) / rate }, width: canvas.0, height: canvas.1)
        let frames = Dictionary(uniqueKeysWithValues: ids.enumerated().map { ($0.element, $0.offset) })
        var best = [Double](repeating: 0, count: ids.count)
        for person in people {
            guard let id = identity(person["image_id"]), let f = frames[id] else { continue }
            var points = numbers(person["keypoints"])
            if points.count == 51 {
                points += padded(person["foot_kpts"], 18) + [Double](repeating: 0, count: 68 * 3)
                points += padded(person["lefthand_kpts"], 63) + padded(person["righthand_kpts"], 63)
            }
            guard points.count == 399 else {
                throw PerceptionError(
                    "'\(name)': \(points.count) numbers in 'keypoints' of image \(id); 51 (with foot, hand points beside) or 399 expected")
            }
            let total = stride(from: 2, to: 69, by: 3).reduce(0) { $0 + points[$1] }
            guard total > best[f] else { continue }
            best[f] = total
            enter(Array(points[0..<69]), coco, f, &track)
            enterFace(Array(points[69..<273]), f, &track)
            enterHand(Array(points[273..<336]), Skeleton.leftHand, f, &track)
            enterHand(Array(points[336..<399]), Skeleton.rightHand, f, &track)
        }
        return track
    }

    private static func identity(_ value: Any?) -> String? {
        (value as? String) ?? (value as? Int).map(String.init)
    }

    private static func numbers(_ value: Any?) -> [Double] {
        (value as? [Any])?.map { ($0 as? NSNumber)?.doubleValue ?? 0 } ?? []
    }

    private static func padded(_ value: Any?, _ count: Int) -> [Double] {
        let found = numbers(value)
        return found.count == count ? found : [Double](repeating: 0, count: count)
    }

    private static func enter(_ points: [Double], _ map: [Int?], _ f: Int, _ track: inout JointTrack) {
        for (i, joint) in map.enumerated() where 3 * i + 2 < points.count {
            guard let joint else { continue }
            set(joint, Array(points[(3 * i)..<(3 * i + 3)]), f, &track)
        }
    }

    private static func enterFace(_ points: [Double], _ f: Int, _ track: inout JointTrack) {
        guard points.count >= 68 * 3 else { return }
        for (k, joint) in face68 { set(joint, Array(points[(3 * k)..<(3 * k + 3)]), f, &track) }
    }

    private static func enterHand(_ points: [Double], _ start: Int, _ f: Int, _ track: inout JointTrack) {
        guard points.count == 63 else { return }
        for k in 0..<21 { set(start + k, Array(points[(3 * k)..<(3 * k + 3)]), f, &track) }
        // The body's own little finger, index finger and thumb are the hand's knuckles.
        let isLeft = start == Skeleton.leftHand
        for (joint, k) in [(isLeft ? 17 : 18, 17), (isLeft ? 19 : 20, 5), (isLeft ? 21 : 22, 2)] {
            set(joint, Array(points[(3 * k)..<(3 * k + 3)]), f, &track)
        }
    }

    private static func set(_ joint: Int, _ values: [Double], _ f: Int, _ track: inout JointTrack) {
        guard values.allSatisfy({ $0.isFinite && abs($0) < 1e6 }) else { return }
        track.setPoint(f, joint, SIMD2(Float(values[0]), Float(values[1])))
        // COCO's visibility flags (1 hidden, 2 seen) and trackers' scores both come to 0…1.
        track.confidence[f * Skeleton.jointCount + joint] = Float(max(0, min(1, values[2])))
    }
}
