"""train.export: averaged weights as Hugging Face folders: <out>/<part>/config.json and model.safetensors (bf16)."""
import json
import pathlib

import torch
from safetensors.torch import save_file

from .training import Report, folder_of, load_averaged

NETWORKS = {  # network: (option that names the checkpoint's folder, file name)
    "vae": ("vae", "diffusion_pytorch_model.safetensors"),
    "keypoints": ("keypoints", "model.safetensors"),
    "transformer": ("previous", "diffusion_pytorch_model.safetensors"),
    "pose": ("previous", "model.safetensors"),
    "face": ("previous", "model.safetensors"),
    "audio": ("audio", "model.safetensors"),
}


def packed(state):
    """bf16, but what is small or sets scales stays exact."""
    return {k: (v if v.numel() < 4096 else v.to(torch.bfloat16)).contiguous().clone() for k, v in state.items()}


def run(options):
    out, index = pathlib.Path(options.out), {}
    for name, (option, filename) in NETWORKS.items():
        source = getattr(options, option)
        if not source:
            continue
        config, state = load_averaged(source, name)
        folder = out / folder_of(name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        save_file(packed(state), folder / filename, {"format": "pt"})
        index[folder.name] = config["_class_name"]
        Report.line(f"{folder}: {(folder / filename).stat().st_size / 1e6:.2f} MB")
    (out / "model_index.json").write_text(json.dumps({"_class_name": "UnderstudyActor", **index}, indent=2, sort_keys=True) + "\n")
