"""train.stage1, train.stage2, train.stage3: the DiT with its encoders, by flow matching each window coded as it is drawn.

Stage 1: skeleton and sphere, no face.  Stage 2: face motion encoder and face attention only.  Stage 3: everything.
"""
import json

import numpy as np
import torch

from . import networks
from .data import Clips, maps, pictures, single_pictures
from .sampling import sample
from .stage_vae import psnr
from .training import Report, Training, device, load_averaged

FACE_PARTS = ("null_face", "face_position", ".norm_face", ".face_attn")


def load_vae(folder):
    config, state = load_averaged(folder, "vae")
    if set(config["latents_std"]) == {1.0}:
        raise SystemExit(f"{folder}: the VAE has no latent statistics (latents_std is 1 everywhere); run its stage again to the end")
    vae = networks.build(config)
    vae.load_state_dict(state)
    return vae.eval().requires_grad_(False).to(device())


def make_networks(options, vae, previous):
    """Fresh networks, or those of the stage before with what is new added fresh."""
    clip_face = options.face_size
    sizes = json.loads(options.transformer) if options.transformer else {}
    latent = vae.config["z_dim"]
    made = {
        "transformer": networks.DreamActorTransformer(in_channels=latent, segment_frames=options.frames, **sizes),
        "pose": networks.PoseEncoder(),
        "face": networks.FaceMotionEncoder(image_size=clip_face),
    }
    if previous:
        for name in made:
            config, state = load_averaged(previous, name)
            made[name] = networks.build(config)
            made[name].load_state_dict(state)
        if made["transformer"].config["in_channels"] != latent:
            raise SystemExit(f"the DiT was trained on latents of {made['transformer'].config['in_channels']} channels, the VAE has {latent}")
    if options.face:
        config, state = load_averaged(options.face, "face")
        made["face"] = networks.build(config)
        made["face"].load_state_dict(state)
    return {k: n.to(device()) for k, n in made.items()}


def choose_parameters(made, stage, trains_face=False):
    """The face motion encoder stays as it was trained before unless asked: through the DiT alone it saturates (stage_face.py)."""
    for name, network in made.items():
        for key, p in network.named_parameters():
            of_face = name == "face" or any(part in "." + key for part in FACE_PARTS)
            p.requires_grad_({1: not of_face, 2: of_face, 3: True}[stage] and (name != "face" or trains_face))


class Batches:
    """Windows of clips with everything that a step needs."""

    context = 2  # latent frames before a later window that its first latent was coded with

    def __init__(self, clips, vae, options, stage):
        self.clips, self.vae, self.stage, self.options = clips, vae, stage, options
        self.frames = clips.shape("frames")[0]
        self.longest = (min(options.frames, self.frames) - 1) // 4 + 1
        names = clips.landmark_names
        self.moving = [[i for i, n in enumerate(names) if n.startswith(part)] for part in ("mouth", "left_eye", "right_eye")]

    def draw(self, chosen, T, start=0, before=0, references=(0,)):
        """T latent frames whose first covers video frame `start`, alone (before = 0: a film begins there) or as the last of the four
        that a latent further on covers, `before` latent frames having gone before it (a segment that goes on)."""
        first = start - 4 * before
        frames, pick = slice(first, start + 4 * (T - 1) + 1), list(references)
        gather = lambda name: self.clips.stack(name, chosen, frames)
        every = lambda name: self.clips.stack(name, chosen)[:, pick]
        with torch.no_grad():
            x0 = self.vae.standardised(pictures(gather("frames")))[:, :, before:]
            pictures_ = every("references")
            B, R = pictures_.shape[:2]
            seen = self.vae.standardised(single_pictures(pictures_)).unflatten(0, (B, R))[:, :, :, 0]
        out = {"x0": x0, "references": seen, "before": before, "maps": maps(gather("skeleton"), gather("sphere")),
               "reference_maps": maps(every("reference_skeleton").flatten(0, 1)[:, None], every("reference_sphere").flatten(0, 1)[:, None]),
               "weight": self.weight(chosen, slice(start, frames.stop), x0.shape[3:])}
        if self.stage > 1:
            out["crops"] = pictures(self.clips.stack("face", chosen, slice(start, frames.stop)))     # [B, 3, F, S, S]
        return out

    def weight(self, chosen, frames, grid):
        """The loss counts the person three times; once the face is driven, the face nine times, and what moves in it, mouth and eyes, which are
        a cell or two each, 29 times."""
        weight = 1 + 2 * cells_in(self.clips.stack("person_box", chosen, frames), grid)
        if self.stage > 1:
            weight = weight + 6 * cells_in(self.clips.stack("face_box", chosen, frames), grid)
            for points in self.moving:
                weight = weight + 20 * cells_in(box_of(self.clips.stack("landmarks", chosen, frames)[..., points, :2]), grid)
        return weight.to(device())

    def __call__(self, rng):
        """Short windows of many people teach more a second than long ones of few; the longest are drawn too, for what lasts."""
        T = min(self.longest, int(rng.choice([2, 2, 2, 3, 4, self.longest])))
        before = 0 if rng.random() < 0.6 else int(rng.integers(1, self.context + 1))
        room = self.frames - 4 * (T - 1) - 1
        before = min(before, room // 4)
        start = int(rng.integers(4 * before, room + 1))
        count = max(1, round(self.options.batch * self.longest / (T + 1)))           # + 1: the reference
        chosen = [self.clips.training[int(c)] for c in rng.choice(len(self.clips.training), count)]
        references = rng.permutation(self.clips.shape("references")[0])[:1 + int(rng.random() < 0.25) * (self.options.references - 1)]
        return self.draw(chosen, T, start, before, references.tolist())


def box_of(points):
    """The box [..., 4] (x, y, width, height) of points [..., N, 2]."""
    low, high = points.amin(-2), points.amax(-2)
    return torch.cat((low, high - low), -1)


def cells_in(box, grid):
    """Boxes [B, F, 4] in pixels → 1 [B, 1, 1, h, w] on the cells that any frame's box touches, else 0."""
    (h, w), box = grid, box.cpu()
    x0, y0 = box[..., 0].amin(1), box[..., 1].amin(1)
    x1, y1 = (box[..., 0] + box[..., 2]).amax(1), (box[..., 1] + box[..., 3]).amax(1)
    y, x = 8 * torch.arange(h)[None, :, None], 8 * torch.arange(w)[None, None, :]
    x0, y0, x1, y1 = (v[:, None, None] for v in (x0, y0, x1, y1))
    return ((x + 8 > x0) & (x < x1) & (y + 8 > y0) & (y < y1)).float()[:, None, None]


def face_tokens(encoder, crops):
    B, _, F, S, _ = crops.shape
    return encoder(crops.transpose(1, 2).flatten(0, 1)).unflatten(0, (B, F))


def pose_features(encoder, batch):
    """Features of the window [B, P, T, h, w], and of the references' own poses [B, R, P, h, w]."""
    B, R = batch["references"].shape[:2]
    reference = encoder(batch["reference_maps"])[:, :, 0].unflatten(0, (B, R))
    return encoder(batch["maps"])[:, :, batch["before"]:], reference


def flow_loss(made, batch, rng, stage, shift):
    """Mean squared velocity error, weighted to that of x̂₀ (times 1/t at most 1/0.3): small t would drown all else otherwise."""
    transformer, x0 = made["transformer"], batch["x0"]
    B, C, T, h, w = x0.shape
    u = torch.rand(B, device=x0.device)
    t = (shift * u / (1 + (shift - 1) * u))[:, None].repeat(1, T)
    if batch["before"]:                                                              # goes on from a clean latent
        t[:, 0] = 0
    noise = torch.randn_like(x0)
    tt = t[:, None, :, None, None]
    xt = (1 - tt) * x0 + tt * noise
    pose, reference_pose = pose_features(made["pose"], batch)
    face = face_tokens(made["face"], batch["crops"]) if stage > 1 else None
    references = batch["references"]
    if rng.random() < 0.1:
        reference_pose = None
    drop = rng.random()
    if drop < 0.04:
        pose, face = None, None
    elif drop < 0.07:
        pose, face, reference_pose, references = None, None, None, torch.zeros_like(references)
    elif drop < 0.12:
        face = None
    v = transformer(xt, t, pose, references, face, reference_pose=reference_pose)
    weight = tt ** 2 / tt.clamp_min(0.3) * batch["weight"]
    counted = (tt > 0) * batch["weight"]
    error = ((v - (noise - x0)).square() * weight).sum() / counted.expand_as(x0).sum()
    return error, {}


def judge(made, vae, clips, batches, stage, count, steps, seed=0):
    """Self-reenactment of people never seen: one reference, the clip drives. PSNR (dB) in the person's box and over the whole frame, of the
    sampled film, of repeating the reference, and of the VAE's own reconstruction."""
    sums = {}
    for k in range(0, count):
        c = clips.held_out[k]
        batch = batches.draw([c], batches.longest)
        F = 4 * (batch["x0"].shape[2] - 1) + 1
        truth = pictures(clips.stack("frames", [c], slice(0, F)))
        noise = torch.randn(batch["x0"].shape, generator=torch.Generator().manual_seed(seed + k)).to(device())
        face = face_tokens(made["face"], batch["crops"]) if stage > 1 else None
        pose, reference_pose = pose_features(made["pose"], batch)
        z = sample(made["transformer"], noise, pose, batch["references"], face, steps=steps, reference_pose=reference_pose)
        films = {"sampled": vae.from_standardised(z), "vae": vae.from_standardised(batch["x0"]),
                 "repeated": pictures(clips.stack("references", [c], slice(0, 1))).expand(-1, -1, F, -1, -1)}
        box = clips.get("person_box", c, slice(0, F))
        H, W = truth.shape[3:]
        y, x = torch.arange(H)[None, :, None], torch.arange(W)[None, None, :]
        x0, y0, w, h = (box[:, i, None, None] for i in range(4))
        mask = ((x >= x0) & (x < x0 + w) & (y >= y0) & (y < y0 + h))[None, None].float().to(device())
        for name, film in films.items():
            sums.setdefault(f"{name}_person", []).append(psnr(film, truth, mask))
            sums.setdefault(f"{name}_frame", []).append(psnr(film, truth))
    return {k: round(float(np.mean(v)), 3) for k, v in sums.items()}


def run(options, stage):
    clips, vae = Clips(options.data, options.held_out), load_vae(options.vae)
    options.face_size = clips.shape("face")[1]
    made = make_networks(options, vae, options.previous)
    choose_parameters(made, stage, options.train_face)
    training = Training(options.out, made, steps=options.steps, minutes=options.minutes, rate=options.rate or {1: 1e-3, 2: 1e-3, 3: 5e-4}[stage],
                        average=options.average, seed=options.seed, muon=options.muon, configuration={"stage": f"stage{stage}"})
    batches = Batches(clips, vae, options, stage)
    shift = made["transformer"].config["shift"]
    training.run(batches, lambda batch, rng: flow_loss(made, batch, rng, stage, shift),
                 lambda averaged: judge(averaged, vae, clips, batches, stage, min(options.judge, len(clips.held_out)), options.sample_steps),
                 options.judgements, options.save_every)
    Report.line(f"stage {stage} done at step {training.step}")
