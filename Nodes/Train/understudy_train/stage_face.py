"""train.face: the face motion encoder, from single crops of generated faces: its tokens are to tell the expression, linearly.

The method starts from a motion encoder that was trained before, on faces (PD-FGC); this is ours. Trained only through the DiT, the encoder collapsed: its
bottleneck saturated and every face gave the same tokens.
"""
import torch
from torch import nn

from . import networks
from .data import Clips, pictures
from .training import Training, device


class Readout(nn.Linear):
    """Tokens of a frame → expression."""

    def __init__(self, tokens, values):
        super().__init__(tokens, values)
        self.config = {"_class_name": "Readout", "tokens": tokens, "values": values}


def run(options):
    clips = Clips(options.data, options.held_out)
    names = [n for n in clips.metadata.get("expression", "").split(",") if n]
    if not clips.has("expression") or not names:
        raise SystemExit(f"{options.data}: the shards have no 'expression'; they must come from actor.dataset")
    frames = clips.shape("expression")[0]
    face = networks.FaceMotionEncoder(image_size=clips.shape("face")[1]).to(device())
    readout = Readout(face.config["face_tokens"] * face.config["face_dim"], len(names)).to(device())
    some = torch.cat([clips.get("expression", c) for c in clips.training[::8]]).to(device())
    mean, deviation = some.mean(0), some.std(0).clamp_min(1e-3)
    training = Training(options.out, {"face": face, "readout": readout}, steps=options.steps, minutes=options.minutes,
                        rate=options.rate or 1e-3, average=0.99, seed=options.seed, configuration={"stage": "face"})

    def gather(chosen, at):
        pick = lambda name: torch.stack([clips.get(name, c, slice(f, f + 1))[0] for c, f in zip(chosen, at)]).to(device())
        return pictures(pick("face")[:, None])[:, :, 0], (pick("expression") - mean) / deviation

    def batch(rng):
        return gather([clips.training[int(c)] for c in rng.choice(len(clips.training), options.batch)],
                      rng.integers(0, frames, options.batch).tolist())

    def loss(b, rng):
        crops, expression = b
        motion = face.motion_logits(crops)
        told = readout(face.tokens(torch.tanh(motion)).flatten(1))
        return (told - expression).square().mean() + 0.003 * motion.square().mean(), {}

    def evaluate(averaged):
        crops, expression = gather(list(clips.held_out) * 3, [f for f in (0, frames // 2, frames - 1) for _ in clips.held_out])
        error = (averaged["readout"](averaged["face"](crops).flatten(1)) - expression).square().mean(0)
        return {"unexplained": round(float(error.mean()), 4), **{f"unexplained.{n}": round(float(e), 3) for n, e in zip(names, error)}}

    training.run(batch, loss, evaluate, options.judgements, options.save_every)
    standardise(training.averaged["face"], gather(list(clips.training)[:256], [frames // 2] * min(256, len(clips.training)))[0])
    training.save()


@torch.no_grad()
def standardise(face, crops):
    """Folds the tokens' mean and deviation into the last layer, so that the DiT's norms see the face and not an offset."""
    tokens = face(crops).flatten(1)
    mean, deviation = tokens.mean(0), tokens.std(0).clamp_min(1e-4)
    face.mlp_out.weight.div_(deviation[:, None])
    face.mlp_out.bias.sub_(mean).div_(deviation)
