"""train.export: averaged weights as Hugging Face folders: <out>/<part>/config.json and model.safetensors (bf16)."""
import json
import pathlib

import torch
from safetensors.torch import save_file

from .training import Report, load_averaged

PARTS = {  # folder: (option that names the checkpoint's folder, network in it, file name)
    "vae": ("vae", "vae", "diffusion_pytorch_model.safetensors"),
    "keypoints": ("keypoints", "keypoints", "model.safetensors"),
    "transformer": ("previous", "transformer", "diffusion_pytorch_model.safetensors"),
    "pose_encoder": ("previous", "pose", "model.safetensors"),
    "face_encoder": ("previous", "face", "model.safetensors"),
    "audio_encoder": ("audio", "audio", "model.safetensors"),
}


def packed(state):
    """bf16, but what is small or sets scales stays exact."""
    return {k: (v if v.numel() < 4096 else v.to(torch.bfloat16)).contiguous().clone() for k, v in state.items()}


def run(options):
    out, index = pathlib.Path(options.out), {}
    for part, (option, name, filename) in PARTS.items():
        source = getattr(options, option)
        if not source:
            continue
        config, state = load_averaged(source, name)
        folder = out / part
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        save_file(packed(state), folder / filename, {"format": "pt"})
        index[part] = config["_class_name"]
        Report.line(f"{folder}: {(folder / filename).stat().st_size / 1e6:.2f} MB")
    (out / "model_index.json").write_text(json.dumps({"_class_name": "UnderstudyActor", **index}, indent=2, sort_keys=True) + "\n")
