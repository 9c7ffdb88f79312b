import Drawing
import Foundation
import Perception

/// What is known exactly about one drawn frame, in pixels of the picture.
struct ActorTruth: Sendable {
    /// `[75, 2]` pixels, `holistic75`.
    var keypoints: [Float] = []
    /// `[75, 3]` metres, hip-centred.
    var positions: [Float] = []
    /// `[75]`: 1 inside the picture, 0.6 up to a quarter of its side outside, else 0.
    var confidence: [Float] = []
    /// `[3, 3]` head to camera.
    var headRotation: [Float] = []
    var headCenter: [Float] = []
    var headRadius: Float = 0
    /// x, y, width, height around the landmarks.
    var faceBox: [Float] = []
    /// `[L, 3]` pixels.
    var landmarks: [Float] = []
    /// 1 when the face looks towards the camera and lies inside the picture, else 0.
    var faceConfidence: Float = 0
    /// x, y, width, height around the whole person, inside the picture.
    var personBox: [Float] = []
    var expression: [Float] = []
    var visemes: [Float] = []
}

extension ActorTruth {
    init(person: ActorPerson, skeleton: ActorSkeleton, head: ActorHead, camera: ActorCamera, expression x: ActorExpression) {
        let joints = Self.joints(skeleton: skeleton, head: head)
        let hip = skeleton.hips[0].lerp(skeleton.hips[1], 0.5)
        let (w, h) = (camera.width, camera.height)
        let margin = 0.25 * max(w, h)
        for joint in joints {
            let q = camera.project(joint)
            keypoints += [Float(q.x), Float(q.y)]
            let m = joint - hip
            positions += [Float(m.x), Float(m.y), Float(m.z)]
            let inside = q.x >= 0 && q.x < w && q.y >= 0 && q.y < h
            let near = q.x >= -margin && q.x < w + margin && q.y >= -margin && q.y < h + margin
            confidence.append(inside ? 1 : near ? 0.6 : 0)
        }
        headRotation = skeleton.headFrame.rows
        let center = camera.project(skeleton.head)
        headCenter = [Float(center.x), Float(center.y)]
        let radius = person.headRadius * camera.zoom(skeleton.head)
        headRadius = Float(radius)
        var low = Point(.infinity, .infinity), high = Point(-.infinity, -.infinity)
        let scale = camera.zoom(skeleton.head)
        for landmark in head.landmarks() {
            let q = camera.project(landmark)
            landmarks += [Float(q.x), Float(q.y), Float((landmark.z - skeleton.head.z) * scale)]
            low = Point(min(low.x, q.x), min(low.y, q.y))
            high = Point(max(high.x, q.x), max(high.y, q.y))
        }
        faceBox = [low.x, low.y, high.x - low.x, high.y - low.y].map { Float($0) }
        let middle = Point((low.x + high.x) / 2, (low.y + high.y) / 2)
        let inside = middle.x > 0 && middle.x < w && middle.y > 0 && middle.y < h
        faceConfidence = inside && head.facing(0, 0) > 0.1 ? 1 : 0
        // Flesh and cloth lie around the joints.
        var a = Point(center.x - radius * 1.2, center.y - radius * 1.35)
        var b = Point(center.x + radius * 1.2, center.y + radius * 1.3)
        for joint in joints {
            let q = camera.project(joint)
            let pad = person.armRadius * 1.3 * camera.zoom(joint)
            a = Point(min(a.x, q.x - pad), min(a.y, q.y - pad))
            b = Point(max(b.x, q.x + pad), max(b.y, q.y + pad))
        }
        a = Point(clamp(a.x, 0, w), clamp(a.y, 0, h))
        b = Point(clamp(b.x, 0, w), clamp(b.y, 0, h))
        personBox = [a.x, a.y, b.x - a.x, b.y - a.y].map { Float($0) }
        expression = x.values.map { Float($0) }
        visemes = x.visemes.map { Float($0) }
    }

    /// The 75 joints in world metres.
    static func joints(skeleton s: ActorSkeleton, head: ActorHead) -> [Vec3] {
        let w = head.person.faceWidth
        func eye(_ side: Int, _ k: Double) -> Vec3 {
            let (x, y) = head.eye(side)
            return head.surface(x + ActorSkeleton.sides[side] * k * head.person.eyeSize, y)
        }
        let mouth = head.mouth().outer
        var joints: [Vec3] = [head.noseTip(), eye(0, -1), eye(0, 0), eye(0, 1), eye(1, -1), eye(1, 0), eye(1, 1)]
        joints += [head.world(Vec3(w, 0.08, 0.05)), head.world(Vec3(-w, 0.08, 0.05)), mouth[8], mouth[0]]
        for pair in [s.shoulders, s.elbows, s.wrists] { joints += pair }
        // Little finger, index finger and thumb of each hand, as MediaPipe's body model has them.
        for index in [17, 5, 2] { joints += [s.hands[0][index], s.hands[1][index]] }
        for pair in [s.hips, s.knees, s.ankles, s.heels, s.toes] { joints += pair }
        return joints + s.hands[0] + s.hands[1]
    }
}

/// One drawn frame.
struct ActorFrame {
    /// RGB bytes `[height, width, 3]`.
    var rgb: [UInt8]
    /// The face crop, RGB bytes `[crop, crop, 3]`; empty when none was asked for.
    var face: [UInt8]
    var truth: ActorTruth
}

/// A person on a stage: draws the frame of any moment.
final class ActorStage {
    let person: ActorPerson
    let motion: ActorMotion
    let camera: ActorCamera
    private let light: ActorLight
    private let oversampling: Int
    private let canvas: Canvas
    private let backdrop: Canvas

    /// - Parameters:
    ///   - personSeed: Names the person's look.
    ///   - motionSeed: Names the performance; nil takes the person's.
    ///   - sceneSeed: Names light, backdrop and camera; nil takes the person's.
    init(
        personSeed: UInt64, motionSeed: UInt64? = nil, sceneSeed: UInt64? = nil, framing: ActorFraming = .any,
        width: Int, height: Int, speaking: Bool = true
    ) throws {
        person = ActorPerson(seed: personSeed)
        motion = ActorMotion(seed: motionSeed ?? personSeed, speaking: speaking)
        let scene = sceneSeed ?? personSeed
        light = ActorLight(seed: scene)
        camera = ActorCamera(person: person, framing: framing, width: width, height: height, seed: scene)
        oversampling = max(width, height) <= 384 ? 2 : 1
        canvas = try Canvas(width: width * oversampling, height: height * oversampling)
        backdrop = try Canvas(width: width * oversampling, height: height * oversampling)
        ActorBackdrop.draw(on: backdrop, seed: scene, camera: camera.scaled(by: Double(oversampling)))
    }

    /// Draws the frame at `time` seconds.
    ///
    /// - Parameters:
    ///   - visemes: Weights of the mouth shapes that sound asks for; nil leaves the mouth to the motion.
    ///   - faceCrop: Side of the face crop in pixels, 0 for none.
    func frame(at time: Double, visemes: [Double]? = nil, faceCrop: Int = 0) throws -> ActorFrame {
        var state = motion.state(at: time)
        if let visemes {
            state.expression.visemes = visemes
            state.expression.applyVisemes()
        }
        let skeleton = ActorSkeleton(person: person, state: state)
        let size = Rect(x: 0, y: 0, width: Double(canvas.width), height: Double(canvas.height))
        canvas.draw(backdrop, in: size, filter: .nearest)
        let renderer = ActorRenderer(
            person: person, light: light, camera: camera.scaled(by: Double(oversampling)), skeleton: skeleton,
            expression: state.expression, canvas: canvas)
        renderer.draw()
        if light.tintAmount > 0 { canvas.paint(.color(light.tint.withAlpha(light.tintAmount))) }
        let truth = ActorTruth(
            person: person, skeleton: skeleton, head: renderer.head, camera: camera, expression: state.expression)
        var face: [UInt8] = []
        if faceCrop > 0 {
            let crop = try Canvas(width: faceCrop, height: faceCrop)
            let box = Self.cropBox(faceBox: truth.faceBox)
            let k = Double(oversampling)
            crop.draw(
                canvas, from: Rect(x: box.x * k, y: box.y * k, width: box.width * k, height: box.height * k),
                in: Rect(x: 0, y: 0, width: Double(faceCrop), height: Double(faceCrop)))
            face = crop.rgb()
        }
        return ActorFrame(rgb: canvas.rgb(shrunkBy: oversampling), face: face, truth: truth)
    }

    /// The square cut out around a face: centred on the landmarks' box, 1.3 times its longer side.
    static func cropBox(faceBox b: [Float]) -> Rect {
        let side = Double(max(b[2], b[3])) * 1.3
        return Rect(
            x: Double(b[0] + b[2] / 2) - side / 2, y: Double(b[1] + b[3] / 2) - side / 2, width: side, height: side)
    }
}
