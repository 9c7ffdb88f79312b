"""train.stage1, train.stage2, train.stage3: the DiT with its encoders, by flow matching on latents computed once.

Stage 1: skeleton and sphere, no face.  Stage 2: face motion encoder and face attention only.  Stage 3: everything.
"""
import json
import pathlib

import numpy as np
import torch

from . import networks
from .data import Clips, Latents, maps, pictures
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
    return {k: n.to(device()) for k, n in made.items()}


def choose_parameters(made, stage):
    for name, network in made.items():
        for key, p in network.named_parameters():
            of_face = name == "face" or any(part in "." + key for part in FACE_PARTS)
            p.requires_grad_({1: not of_face, 2: of_face, 3: True}[stage])


class Batches:
    """Windows of clips with everything that a step needs."""

    def __init__(self, clips, latents, options, stage):
        self.clips, self.latents, self.stage, self.options = clips, latents, stage, options
        self.T = latents.tables[0].get_slice("latents").get_shape()[2]
        self.longest = (options.frames - 1) // 4 + 1

    def draw(self, chosen, rng=None):
        """rng None: the first window of each, reference 0 only; for judging."""
        T = min(self.longest, self.T)
        if rng is not None and rng.random() < 0.5:
            T = int(rng.integers(2, T + 1))                                          # short clips are cheap and teach as much a frame
        start = 0 if rng is None else int(rng.integers(0, self.T - T + 1))
        frames = slice(4 * start, 4 * (start + T - 1) + 1)
        x0 = self.latents.get("latents", chosen)[:, :, start:start + T]
        references = self.latents.get("references", chosen)
        order = [0] if rng is None else rng.permutation(references.shape[1])[:int(rng.integers(1, self.options.references + 1))].tolist()
        out = {"x0": x0, "references": references[:, order], "first_is_late": start > 0,
               "maps": maps(self.clips.stack("skeleton", chosen, frames), self.clips.stack("sphere", chosen, frames))}
        if self.stage > 1:
            out["crops"] = pictures(self.clips.stack("face", chosen, frames))        # [B, 3, F, S, S]
        return out

    def __call__(self, rng):
        return self.draw([self.clips.training[int(c)] for c in rng.choice(len(self.clips.training), self.options.batch)], rng)


def face_tokens(encoder, crops):
    B, _, F, S, _ = crops.shape
    return encoder(crops.transpose(1, 2).flatten(0, 1)).unflatten(0, (B, F))


def flow_loss(made, batch, rng, stage, shift):
    """Mean squared velocity error, weighted to that of x̂₀ (times 1/t at most 1/0.3): small t would drown all else otherwise."""
    transformer, x0 = made["transformer"], batch["x0"]
    B, C, T, h, w = x0.shape
    u = torch.rand(B, device=x0.device)
    t = (shift * u / (1 + (shift - 1) * u))[:, None].repeat(1, T)
    if rng.random() < 0.4:                                                           # image-to-video: go on from a clean latent
        t[:, 0] = 0
    noise = torch.randn_like(x0)
    tt = t[:, None, :, None, None]
    xt = (1 - tt) * x0 + tt * noise
    pose = made["pose"](batch["maps"])
    face = face_tokens(made["face"], batch["crops"]) if stage > 1 else None
    drop = rng.random()
    references = batch["references"]
    if drop < 0.05:
        pose, face = None, None
    elif drop < 0.1:
        pose, face, references = None, None, torch.zeros_like(references)
    elif drop < 0.15:
        face = None
    v = transformer(xt, t, pose, references, face)
    weight = tt ** 2 / tt.clamp_min(0.3)
    error = ((v - (noise - x0)).square() * weight).sum() / (tt.expand_as(x0) > 0).sum()
    return error, {}


def judge(made, vae, clips, batches, stage, count, steps, seed=0):
    """Self-reenactment of people never seen: one reference, the clip drives. PSNR (dB) in the person's box and over the whole frame, of the
    sampled film, of repeating the reference, and of the VAE's own reconstruction."""
    sums = {}
    for k in range(0, count):
        c = clips.held_out[k]
        batch = batches.draw([c])
        F = 4 * (batch["x0"].shape[2] - 1) + 1
        truth = pictures(clips.stack("frames", [c], slice(0, F)))
        noise = torch.randn(batch["x0"].shape, generator=torch.Generator().manual_seed(seed + k)).to(device())
        face = face_tokens(made["face"], batch["crops"]) if stage > 1 else None
        z = sample(made["transformer"], noise, made["pose"](batch["maps"]), batch["references"], face, steps=steps)
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
    latents = Latents(clips, vae, pathlib.Path(options.out).parent / "latents")
    made = make_networks(options, vae, options.previous)
    choose_parameters(made, stage)
    training = Training(options.out, made, steps=options.steps, minutes=options.minutes, rate=options.rate or {1: 1e-3, 2: 1e-3, 3: 5e-4}[stage],
                        average=options.average, seed=options.seed, configuration={"stage": f"stage{stage}"})
    batches = Batches(clips, latents, options, stage)
    shift = made["transformer"].config["shift"]
    training.run(batches, lambda batch, rng: flow_loss(made, batch, rng, stage, shift),
                 lambda averaged: judge(averaged, vae, clips, batches, stage, min(options.judge, len(clips.held_out)), options.sample_steps),
                 options.evaluate_every, options.save_every)
    Report.line(f"stage {stage} done at step {training.step}")
