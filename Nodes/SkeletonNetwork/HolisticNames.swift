/// The joints' names of the skeleton `holistic75`: MediaPipe Pose's 33, then 21 per hand.
enum HolisticNames {
    static let all: [String] = {
        let pose = [
            "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
            "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
            "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
            "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
            "right_ankle", "left_heel", "right_heel", "left_foot_index", "right_foot_index",
        ]
        let fingers = ["index", "middle", "ring", "pinky"].flatMap { finger in
            ["mcp", "pip", "dip", "tip"].map { "\(finger)_\($0)" }
        }
        let hand = ["wrist", "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"] + fingers
        return pose + ["left", "right"].flatMap { side in hand.map { "\(side)_hand_\($0)" } }
    }()

    /// Joint numbers by name.
    static let index = Dictionary(uniqueKeysWithValues: all.enumerated().map { ($0.element, $0.offset) })
    static let leftHip = 23, rightHip = 24
    /// Nose, eyes, ears and mouth.
    static let head = 0...10
}
