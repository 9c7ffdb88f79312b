"""Finds body, hands and face of one person in every frame with MediaPipe Holistic."""

import json
import os
import sys
import traceback

os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import artifacts

BODY, HAND, FACE = 33, 21, 478
LEFT, RIGHT = 33, 54  # first joint of each hand
# Wrist, elbow, and the finger points of the body model, for the left and the right arm.
ARMS = {LEFT: (15, 13, (17, 19, 21)), RIGHT: (16, 14, (18, 20, 22))}
# A hand whose wrist is farther from the arm's wrist than this part of its own length belongs to the other arm.
MAX_WRIST_DISTANCE = 1.0


def say(**line):
    print(json.dumps(line), flush=True)


def points(landmarks, size):
    """Landmarks as `[n, 3]` pixels (z on the scale of x)."""
    width, height = size
    return np.array([(p.x * width, p.y * height, p.z * width) for p in landmarks.landmark], np.float32)


class Tracker:
    def __init__(self, parameters, static):
        from mediapipe.python.solutions import hands, holistic

        self.minimum = parameters["minConfidence"]
        self.holistic = holistic.Holistic(
            static_image_mode=static,
            model_complexity=parameters["complexity"],
            smooth_landmarks=parameters["smoothing"],
            refine_face_landmarks=True,
            min_detection_confidence=self.minimum,
            min_tracking_confidence=self.minimum,
        )
        self.hands = None
        if parameters["handSearch"]:
            self.hands = hands.Hands(
                static_image_mode=True, max_num_hands=2, model_complexity=1, min_detection_confidence=0.3
            )

    def __call__(self, frame):
        """One frame `[height, width, 3]` → joints `[75, 2]`, positions `[75, 3]`, confidence `[75]`, face or None."""
        height, width = frame.shape[:2]
        found = self.holistic.process(frame)
        joints = np.zeros((75, 2), np.float32)
        positions = np.zeros((75, 3), np.float32)
        confidence = np.zeros(75, np.float32)
        if found.pose_landmarks is not None and found.pose_world_landmarks is not None:
            body = points(found.pose_landmarks, (width, height))
            world = np.array([(p.x, p.y, p.z) for p in found.pose_world_landmarks.landmark], np.float32)
            confidence[:BODY] = np.clip([p.visibility for p in found.pose_landmarks.landmark], 0, 1)
            joints[:BODY] = body[:, :2]
            positions[:BODY] = world - (world[23] + world[24]) / 2
            hands = {LEFT: found.left_hand_landmarks, RIGHT: found.right_hand_landmarks}
            scale = pixels_per_metre(joints[:BODY], positions[:BODY], confidence[:BODY])
            for start, landmarks in hands.items():
                hand = None if landmarks is None else points(landmarks, (width, height))
                sure = 0.9
                if hand is not None and not fits(hand, start, joints, scale):
                    hand = None
                if hand is None and self.hands is not None:
                    hand, sure = self.search(frame, start, joints, confidence, scale)
                if hand is not None:
                    place(hand, start, sure, scale, joints, positions, confidence)
        face = None if found.face_landmarks is None else points(found.face_landmarks, (width, height))
        return joints, positions, confidence, face

    def search(self, frame, start, joints, confidence, scale):
        """Looks for a hand in a square around where the arm ends."""
        wrist, elbow, fingers = ARMS[start]
        height, width = frame.shape[:2]
        if confidence[wrist] < self.minimum:
            return None, 0
        # Beyond the wrist along the forearm: the body model's own finger points are rough but near.
        middle = (joints[wrist] + joints[list(fingers)].mean(0)) / 2
        arm = max(np.linalg.norm(joints[wrist] - joints[elbow]), 0.12 * scale)
        for reach in (0.16 * scale, 0.26 * scale, 0.9 * arm):
            x0, y0 = np.floor(np.maximum(middle - reach, 0)).astype(int)
            x1, y1 = np.ceil(np.minimum(middle + reach, (width, height))).astype(int)
            if x1 - x0 < 16 or y1 - y0 < 16:
                continue
            crop = np.ascontiguousarray(frame[y0:y1, x0:x1])
            result = self.hands.process(crop)
            best = None
            for landmarks, side in zip(result.multi_hand_landmarks or [], result.multi_handedness or []):
                hand = points(landmarks, (x1 - x0, y1 - y0)) + np.array((x0, y0, 0), np.float32)
                distance = np.linalg.norm(hand[0, :2] - joints[wrist])
                # MediaPipe names hands as in a mirror.
                label = RIGHT if side.classification[0].label == "Left" else LEFT
                if label != start or not fits(hand, start, joints, scale):
                    continue
                if best is None or distance < best[0]:
                    best = (distance, hand, float(side.classification[0].score))
            if best is not None:
                return best[1], min(0.8, max(0.5, best[2]))
        return None, 0


def fits(hand, start, joints, scale):
    """Whether a hand sits on its arm, and not on the other."""
    wrist = joints[ARMS[start][0]]
    other = joints[ARMS[LEFT + RIGHT - start][0]]
    length = max(np.linalg.norm(hand[1:, :2] - hand[0, :2], axis=1).max(), 0.1 * scale)
    distance = np.linalg.norm(hand[0, :2] - wrist)
    return distance <= MAX_WRIST_DISTANCE * length and distance <= np.linalg.norm(hand[0, :2] - other) + 0.25 * length


def place(hand, start, sure, scale, joints, positions, confidence):
    """Enters a hand; its wrist, measured closer up, becomes the arm's."""
    wrist, _, fingers = ARMS[start]
    # The body model's finger points move along, so that they stay on the hand.
    joints[list(fingers)] += hand[0, :2] - joints[wrist]
    offset = (hand[0, :2] - joints[wrist]) / scale
    positions[[wrist, *fingers], :2] += offset
    joints[wrist] = hand[0, :2]
    joints[start : start + HAND] = hand[:, :2]
    positions[start : start + HAND] = positions[wrist] + (hand - hand[0]) / scale
    confidence[start : start + HAND] = sure
    confidence[wrist] = max(confidence[wrist], sure)


def pixels_per_metre(joints, positions, confidence):
    """Scale of a weak-perspective camera: median ratio over pairs of well-seen joints, long ones first."""
    pairs = [(11, 12), (11, 24), (12, 23), (11, 23), (12, 24), (11, 13), (12, 14), (13, 15), (14, 16), (7, 8), (0, 11), (0, 12)]
    ratios, weights = [], []
    for a, b in pairs:
        length = np.linalg.norm(positions[a, :2] - positions[b, :2])
        weight = length * min(confidence[a], confidence[b])
        if length > 0.02 and weight > 0:
            ratios.append(np.linalg.norm(joints[a] - joints[b]) / length)
            weights.append(weight)
    if not ratios:
        return 1.0
    order = np.argsort(ratios, kind="stable")
    total = np.cumsum(np.array(weights)[order])
    return float(max(np.array(ratios)[order][np.searchsorted(total, total[-1] / 2)], 1e-3))


def main(request):
    inputs = request["inputs"]
    paths = {name: inputs[name][0] for name in ("video", "image") if inputs.get(name)}
    if len(paths) != 1:
        raise ValueError("give skeleton.track exactly one of its inputs `video` and `image`")
    if "video" in paths:
        source = artifacts.Artifact(paths["video"], "video")
        frames, stamps, time = source["frames"], np.array(source["timestamps"]), source.meta["time"]
    else:
        source = artifacts.Artifact(paths["image"], "image")
        frames, stamps = source["pixels"][None], np.zeros(1, np.int64)
        time = {"end": 1, "timeBase": {"den": 25, "num": 1}}
    count, height, width = frames.shape[:3]
    tracker = Tracker(request["parameters"], static="image" in paths)

    keypoints = np.zeros((count, 75, 2), np.float32)
    positions = np.zeros((count, 75, 3), np.float32)
    confidence = np.zeros((count, 75), np.float32)
    boxes = np.zeros((count, 4), np.float32)
    landmarks = np.zeros((count, FACE, 3), np.float32)
    face_confidence = np.zeros(count, np.float32)
    for i in range(count):
        keypoints[i], positions[i], confidence[i], face = tracker(np.ascontiguousarray(frames[i]))
        if face is not None:
            landmarks[i] = face
            low, high = face[:, :2].min(0), face[:, :2].max(0)
            boxes[i] = (*low, *(high - low))
            # The face model reports no score; one whose centre leaves the picture is a guess.
            inside = ((face[:, :2] >= 0) & (face[:, :2] < (width, height))).all(1).mean()
            face_confidence[i] = inside
        source.release()
        say(progress={"done": i + 1, "total": count, "unit": "frames"})

    shared = {"width": width, "height": height, "time": time}
    artifacts.write(
        request["outputs"]["pose"],
        "pose",
        {**shared, "skeleton": "holistic75", "units": {"keypoints": "pixels", "positions": "metres"}},
        {
            "timestamps": stamps,
            "keypoints": keypoints,
            "positions": positions,
            "confidence": confidence,
            "filled": np.zeros((count, 75), np.uint8),
        },
    )
    artifacts.write(
        request["outputs"]["faces"],
        "faces",
        {**shared, "landmarkSet": "mediapipe478"},
        {"timestamps": stamps, "boxes": boxes, "landmarks": landmarks, "confidence": face_confidence},
    )
    seen = [int((confidence[:, j] >= 0.5).sum()) for j in (11, LEFT, RIGHT)]
    say(message=f"{count} frames: body in {seen[0]}, left hand in {seen[1]}, right hand in {seen[2]}, face in {int((face_confidence > 0).sum())}")


def text(error):
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def serve():
    """Runs one request file; with --worker, those named on standard input."""
    if sys.argv[1] != "--worker":
        try:
            return main(load(sys.argv[1]))
        except Exception as error:
            say(error=text(error))
            raise
    for line in sys.stdin:
        run = json.loads(line)["run"]
        try:
            main(load(run))
            say(done=True, run=run)
        except Exception as error:
            traceback.print_exc()
            say(failed=text(error), run=run)


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    serve()
