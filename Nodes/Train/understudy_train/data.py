"""Shards of clips, as the actor's dataset writer makes them: one safetensors file holds n clips, every tensor has them in front.

Read here: frames, references, skeleton, sphere, reference_skeleton, reference_sphere, face (bytes [n, F|R, H, W, 3]); keypoints, positions,
confidence, head_rotation, head_center, head_radius, landmarks, face_confidence, person_box (f32); for speech: audio [n, samples], has_audio [n]
and the metadata fps, sample_rate.
"""
import json
import pathlib

import torch
from safetensors import safe_open

from .training import device


class Clips:
    """All clips of a folder, or of a list of files, in a fixed order; tensors are read as they are asked for. Each clip is another person,
    so the last `held_out` clips (a fifth at most) are people never trained on."""

    def __init__(self, source, held_out=32):
        self.paths = [pathlib.Path(p) for p in source] if isinstance(source, list) else sorted(pathlib.Path(source).glob("*.safetensors"))
        if not self.paths:
            raise SystemExit(f"{source}: no shards (*.safetensors) there; write some with the actor's dataset node first")
        self.files, self.index = [], []
        for path in self.paths:
            file = safe_open(path, "pt")
            if "frames" not in file.keys():
                raise SystemExit(f"{path}: has no tensor 'frames'; is it a shard of actor clips?")
            self.files.append(file)
            shape, first = file.get_slice("frames").get_shape(), self.files[0].get_slice("frames").get_shape()
            if shape[1:] != first[1:]:
                raise SystemExit(f"{path}: clips of {shape[1:]} (frames, height, width, colours); those of {self.paths[0]} are {first[1:]}")
            self.index += [(len(self.files) - 1, i) for i in range(shape[0])]
        if len(self.index) < 2:
            raise SystemExit(f"{self.paths[0]}: one clip; training needs two at least, one of them to judge by")
        # A plain shard has its metadata as they are, an artifact of the engine as one JSON object.
        self.metadata = self.files[0].metadata() or {}
        self.metadata.update(json.loads(self.metadata.get("understudy.meta", "{}")))
        held_out = min(held_out, max(1, len(self.index) // 5))
        self.training, self.held_out = range(len(self.index) - held_out), range(len(self.index) - held_out, len(self.index))

    def __len__(self):
        return len(self.index)

    def has(self, name):
        return name in self.files[0].keys()

    def shape(self, name):
        return self.files[0].get_slice(name).get_shape()[1:]

    def get(self, name, clip, frames=slice(None)):
        """One tensor of one clip, its first axis cut."""
        file, row = self.index[clip]
        return self.files[file].get_slice(name)[row:row + 1, frames][0]

    def stack(self, name, clips, frames=slice(None)):
        return torch.stack([self.get(name, c, frames) for c in clips]).to(device())

    @property
    def landmark_names(self):
        return [n for n in self.metadata.get("landmarks", "").split(",") if n]


def pictures(x):
    """Bytes [..., F, H, W, 3] → f32 [..., 3, F, H, W] in −1…1."""
    return x.movedim(-1, -4).contiguous().float().mul_(1 / 127.5).sub_(1)


def maps(skeleton, sphere):
    """Bytes [B, F, H, W, 3] twice → f32 [B, 6, F, H, W] in 0…1."""
    return torch.cat((skeleton.movedim(-1, 1), sphere.movedim(-1, 1)), 1).float().mul_(1 / 255)


def single_pictures(x):
    """Bytes [..., H, W, 3] → f32 [N, 3, 1, H, W] in −1…1: one-frame videos."""
    return pictures(x.flatten(0, -4)[:, None])
