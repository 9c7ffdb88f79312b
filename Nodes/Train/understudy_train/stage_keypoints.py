"""train.keypoints: key points and head of generated actors, from single pictures."""
import torch
import torch.nn.functional as F

from . import networks
from .data import Clips
from .training import Training, device


def body_names():
    """holistic75: MediaPipe Pose's 33, then the two hands' 21."""
    pose = ("nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear right_ear mouth_left mouth_right "
            "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_pinky right_pinky left_index right_index "
            "left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle right_ankle left_heel right_heel "
            "left_foot_index right_foot_index").split()
    hand = ["wrist"] + [f"{f}_{j}" for f, js in (("thumb", "cmc mcp ip tip"), ("index", "mcp pip dip tip"), ("middle", "mcp pip dip tip"),
                                                 ("ring", "mcp pip dip tip"), ("pinky", "mcp pip dip tip")) for j in js.split()]
    return pose + [f"{side}_hand_{j}" for side in ("left", "right") for j in hand]


def read_points(outputs, size):
    """heat maps → points [B, K, 2] in pixels, depths [B, K] in metres."""
    B, K, h, w = outputs["heatmaps"].shape
    p = outputs["heatmaps"].flatten(2).softmax(-1)
    cell = size / h
    x = (torch.arange(w, device=p.device) + 0.5) * cell
    y = (torch.arange(h, device=p.device) + 0.5) * cell
    p2 = p.view(B, K, h, w)
    return torch.stack(((p2.sum(2) * x).sum(-1), (p2.sum(3) * y).sum(-1)), -1), (p * outputs["depths"].flatten(2)).sum(-1)


def run(options):
    clips = Clips(options.data, options.held_out)
    frames, H, W, _ = clips.shape("frames")
    if H != W:
        raise SystemExit(f"pictures are {W}×{H}: this network takes squares")
    landmarks = clips.landmark_names if clips.has("landmarks") else []
    net = networks.KeypointNet(image_size=H, names=body_names() + landmarks).to(device())
    training = Training(options.out, {"keypoints": net}, steps=options.steps, minutes=options.minutes, rate=options.rate or 2e-3,
                        average=0.99, seed=options.seed, configuration={"stage": "keypoints"})

    def gather(chosen, at):
        pick = lambda name: torch.stack([clips.get(name, c, slice(f, f + 1))[0] for c, f in zip(chosen, at)]).to(device())
        points, depth, seen = pick("keypoints"), pick("positions")[..., 2], (pick("confidence") > 0.8).float()
        if landmarks:
            marks = pick("landmarks")
            facing = pick("face_confidence")[:, None].expand(-1, marks.shape[1])
            points, depth, seen = torch.cat((points, marks[..., :2]), 1), torch.cat((depth, torch.zeros_like(facing)), 1), torch.cat((seen, facing), 1)
        inside = ((points >= 0) & (points < H)).all(-1).float()
        rotation = pick("head_rotation")
        head = torch.cat((rotation[:, :, 0], rotation[:, :, 1], pick("head_center") / H, pick("head_radius")[:, None] / H), 1)
        return {"image": pick("frames").movedim(-1, 1).float() / 127.5 - 1, "points": points, "depth": depth, "seen": seen * inside, "head": head}

    def batch(rng):
        return gather([clips.training[int(c)] for c in rng.choice(len(clips.training), options.batch)], rng.integers(0, frames, options.batch).tolist())

    def errors(b, out):
        points, depth = read_points(out, H)
        distance = (points - b["points"]).norm(dim=-1)
        total = b["seen"].sum() + 1e-6
        body = b["seen"].clone()
        body[:, 75:] = 0
        return distance, depth, total, body

    def loss(b, rng):
        out = net(b["image"])
        distance, depth, total, body = errors(b, out)
        h = out["heatmaps"].shape[-1]
        grid = (torch.arange(h, device=distance.device) + 0.5) * (H / h)
        gx = (-(grid - b["points"][..., :1]).square() / 18).exp()                    # σ = 3 pixels
        gy = (-(grid - b["points"][..., 1:]).square() / 18).exp()
        target = (gy[..., :, None] * gx[..., None, :]).flatten(2)
        target = target / (target.sum(-1, keepdim=True) + 1e-9)
        cross = -(target * out["heatmaps"].flatten(2).log_softmax(-1)).sum(-1)
        value = (cross * b["seen"]).sum() / total + 0.1 * (distance * b["seen"]).sum() / total
        value = value + 2 * ((depth - b["depth"]).abs() * body).sum() / (body.sum() + 1e-6)
        value = value + F.binary_cross_entropy_with_logits(out["visibility"], b["seen"])
        value = value + 2 * (out["head"] - b["head"]).abs().mean() + 10 * (out["head"][:, 6:] - b["head"][:, 6:]).abs().mean()
        return value, {"pixels": float(((distance * b["seen"]).sum() / total).detach())}

    def evaluate(averaged):
        sums, number = {}, 0
        for c in clips.held_out:
            b = gather([c] * 3, [0, frames // 2, frames - 1])
            out = averaged["keypoints"](b["image"])
            distance, depth, total, body = errors(b, out)
            face = b["seen"] - body
            values = {"body_pixels": (distance * body).sum() / (body.sum() + 1e-6), "face_pixels": (distance * face).sum() / (face.sum() + 1e-6),
                      "depth_metres": ((depth - b["depth"]).abs() * body).sum() / (body.sum() + 1e-6),
                      "visible_right": ((out["visibility"] > 0) == (b["seen"] > 0.5)).float().mean(),
                      "head_centre_pixels": (out["head"][:, 6:8] - b["head"][:, 6:8]).norm(dim=-1).mean() * H,
                      "head_degrees": degrees(out["head"], b["head"]).mean()}
            number += 1
            for k, v in values.items():
                sums[k] = sums.get(k, 0) + float(v)
        return {k: round(v / number, 4) for k, v in sums.items()}

    training.run(batch, loss, evaluate, options.judgements, options.save_every)


def rotation_of(head):
    """Two columns → rotation [B, 3, 3] by Gram–Schmidt."""
    a = F.normalize(head[:, :3], dim=-1)
    b = F.normalize(head[:, 3:6] - (a * head[:, 3:6]).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack((a, b, torch.linalg.cross(a, b)), -1)


def degrees(x, y):
    trace = (rotation_of(x) * rotation_of(y)).sum((1, 2))
    return torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).arccos())
