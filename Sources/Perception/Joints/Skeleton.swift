/// The `holistic75` skeleton: MediaPipe Pose's 33 body joints, then 21 joints of the left and of the right hand.
///
/// Left and right are the person's own. Arrays over joints in this module have ``jointCount`` entries in this order.
public enum Skeleton {
    /// The name that a pose artifact carries.
    public static let name = "holistic75"
    public static let jointCount = 75
    public static let bodyCount = 33
    public static let handCount = 21
    /// First joint (the wrist) of the left hand.
    public static let leftHand = 33
    /// First joint (the wrist) of the right hand.
    public static let rightHand = 54

    /// Body joints by their index.
    public enum Joint {
        public static let nose = 0
        public static let leftEyeInner = 1, leftEye = 2, leftEyeOuter = 3
        public static let rightEyeInner = 4, rightEye = 5, rightEyeOuter = 6
        public static let leftEar = 7, rightEar = 8, mouthLeft = 9, mouthRight = 10
        public static let leftShoulder = 11, rightShoulder = 12, leftElbow = 13, rightElbow = 14
        public static let leftWrist = 15, rightWrist = 16
        public static let leftPinky = 17, rightPinky = 18, leftIndex = 19, rightIndex = 20
        public static let leftThumb = 21, rightThumb = 22
        public static let leftHip = 23, rightHip = 24, leftKnee = 25, rightKnee = 26
        public static let leftAnkle = 27, rightAnkle = 28, leftHeel = 29, rightHeel = 30
        public static let leftToe = 31, rightToe = 32
    }

    /// Joint names, in order.
    public static let jointNames: [String] =
        [
            "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
            "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
            "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
            "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip",
            "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel",
            "left_foot_index", "right_foot_index",
        ] + fingerNames.map { "left_hand_" + $0 } + fingerNames.map { "right_hand_" + $0 }

    private static let fingerNames =
        ["wrist"]
        + ["thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"]
        + ["index", "middle", "ring", "pinky"].flatMap { finger in
            ["mcp", "pip", "dip", "tip"].map { "\(finger)_\($0)" }
        }

    /// For every joint its counterpart on the other side (itself on the midline).
    public static let mirror: [Int] = {
        var mirror = Array(0..<jointCount)
        let pairs =
            [(1, 4), (2, 5), (3, 6), (7, 8), (9, 10)]
            + stride(from: 11, to: 33, by: 2).map { ($0, $0 + 1) }
            + (0..<handCount).map { (leftHand + $0, rightHand + $0) }
        for (a, b) in pairs {
            mirror[a] = b
            mirror[b] = a
        }
        return mirror
    }()

    /// The 20 edges of a hand, as offsets from its wrist, finger by finger from the thumb.
    public static let handEdges: [(Int, Int)] = (0..<5).flatMap { finger -> [(Int, Int)] in
        let first = 1 + 4 * finger
        return [(0, first), (first, first + 1), (first + 1, first + 2), (first + 2, first + 3)]
    }
}
