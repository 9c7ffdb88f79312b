"""train.audio: speech → the face motion tokens that the frozen video encoder gives for the same clip.

Needs shards with speech: `audio` [n, samples] f32 (mono, 16 kHz, beginning with frame 0; silent in clips without speech) and `fps` in their metadata.
"""
import numpy as np
import torch

from . import audio, networks
from .data import Clips, pictures
from .stage_transformer import face_tokens
from .training import Training, device, load_averaged


def run(options):
    clips = Clips(options.data, options.held_out)
    if not clips.has("audio"):
        raise SystemExit(f"{options.data}: the shards have no tensor 'audio'; write speaking clips with their sound first")
    rate = int(float(clips.metadata.get("sample_rate", audio.RATE)))
    if rate != audio.RATE:
        raise SystemExit(f"{options.data}: sound at {rate} Hz; {audio.RATE} Hz is needed")
    # Clips without sound babble: their mouths say nothing about speech.
    training_clips, held_out = ([c for c in part if clips.get("audio", c).abs().max() > 0] for part in (clips.training, clips.held_out))
    if not training_clips or not held_out:
        raise SystemExit(f"{options.data}: too few clips with speech; write more shards")
    fps = float(clips.metadata["fps"])
    config, state = load_averaged(options.previous, "face")
    face = networks.build(config)
    face.load_state_dict(state)
    face.eval().requires_grad_(False).to(device())
    net = networks.AudioEncoder(face_tokens=config["face_tokens"], face_dim=config["face_dim"]).to(device())
    training = Training(options.out, {"audio": net}, steps=options.steps, minutes=options.minutes, rate=options.rate or 1e-3,
                        average=0.99, seed=options.seed, configuration={"stage": "audio"})
    frames = clips.shape("frames")[0]
    times = np.arange(frames) / fps
    known = {}

    @torch.no_grad()
    def pair(c):
        if c not in known:
            mel = audio.log_mel(clips.get("audio", c).numpy())
            tokens = face_tokens(face, pictures(clips.stack("face", [c])))[0]
            known[c] = torch.from_numpy(audio.on_frames(mel, times, net.config["window"])).to(tokens), tokens
        return known[c]

    def batch(rng):
        return [torch.stack(x) for x in zip(*(pair(training_clips[int(c)]) for c in rng.choice(len(training_clips), options.batch)))]

    # Tokens differ in scale: judged against their spread, so that 1 means no better than the mean face.
    with torch.no_grad():
        spread = torch.cat([pair(c)[1] for c in training_clips[:64]]).var(0)
        net.proj_out.bias.copy_(torch.cat([pair(c)[1] for c in training_clips[:64]]).mean(0).flatten()) if training.step == 0 else None

    def unexplained(network, features, tokens):
        return ((network(features) - tokens).square().mean((0, 1)).sum() / spread.sum())

    def loss(b, rng):
        value = unexplained(net, *b)
        return value, {}

    def evaluate(averaged):
        held = [torch.stack(x) for x in zip(*(pair(c) for c in held_out))]
        return {"unexplained": round(float(unexplained(averaged["audio"], *held)), 4)}

    training.run(batch, loss, evaluate, options.judgements, options.save_every)
