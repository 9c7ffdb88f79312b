"""train.evaluate: self-reenactment of held-out people, as one JSON object."""
import json
import pathlib

import torch

from .data import Clips
from .stage_transformer import Batches, judge, load_vae, make_networks


@torch.no_grad()
def run(options):
    clips, vae = Clips(options.data, options.held_out), load_vae(options.vae)
    options.face_size = clips.shape("face")[1]
    made = {k: n.eval() for k, n in make_networks(options, vae, options.previous).items()}
    values = judge(made, vae, clips, Batches(clips, vae, options, options.signals), options.signals,
                   min(options.judge, len(clips.held_out)), options.sample_steps)
    values["clips"] = min(options.judge, len(clips.held_out))
    text = json.dumps(values, indent=2, sort_keys=True)
    if options.out:
        pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
        (pathlib.Path(options.out) / "evaluation.json").write_text(text + "\n")
    print(text)
