"""The networks of the method. Tensor names and shapes here are the file format that the Swift side reads.

Notation: B batch, F video frames = 1 + 4k, T = 1 + k latent frames, h×w latent grid = H/8 × W/8, N face tokens per frame.
All sizes come from a config dictionary, which is also what config.json holds (with `_class_name`).
"""
import torch
import torch.nn.functional as F
from torch import nn

from .block_vae import BlockVAE
from .layers import Attention, CausalConv3d, ChannelNorm, ResidualConv, rotary_table, timestep_embedding


class DreamActorTransformer(nn.Module):
    """The DiT. Noise tokens carry video latent and pose; reference tokens pass through the same weights.

    One block:
      self attention   adaLN; noise attends to [noise ; reference], reference to itself only (`cached`) or to both (`joint`)
      then, in the order `attention_order`:
        reference attention   noise → reference tokens as they entered the block
        face attention        noise of latent frame i → face tokens of the video frames that latent i covers
      feed-forward     adaLN, tanh GELU
    Reference tokens skip both cross attentions and have timestep `reference_timestep`.

    A reference's own pose may be given too (features of its skeleton and sphere, as of a one-frame clip): it is laid beside the
    reference's latent as the drive's is beside the noise, so that attention finds a limb's appearance by the limb, not by its place.

    Video frame coverage: latent 0 ← frame 0 (put four times), latent i ← frames 4i−3 … 4i. Each window has four frame slots, and
    `face_position` [4·N, face_dim] is added to its tokens, slot by slot.

    `aligned_reference`: the first reference's latent is also laid beside the noise, at its own place in every latent frame (as
    image-to-video models do), so the network need not learn copying from nothing. `prediction`:
    "velocity": the output is ε − x₀;  "sample": the network's output plus the aligned reference is x̂₀, turned into
    the velocity (x_t − x̂₀) / max(t, `minimum_time`) before it is returned. Both return velocities. Clean frames (t = 0): zero there.
    """

    defaults = dict(
        _class_name="DreamActorTransformer", in_channels=16, pose_channels=32, fuse_dim=64, dim=192, num_heads=4, num_layers=6,
        ffn_dim=768, patch_size=[1, 2, 2], freq_dim=128, face_dim=64, face_tokens=4, face_attention=True,
        reference_attention="cached", attention_order=["reference", "face"], reference_timestep=0.0,
        aligned_reference=True, prediction="sample", minimum_time=0.05, eps=1e-6, rope_theta=10000.0,
        # how it was trained, for the sampler
        segment_frames=25, handover="latent", shift=3.0)

    def __init__(self, **config):
        super().__init__()
        c = self.config = {**self.defaults, **config}
        dim, self.patch = c["dim"], c["patch_size"][1]
        aligned = c["in_channels"] if c["aligned_reference"] else 0
        self.fuse_in = nn.Linear(c["in_channels"] + c["pose_channels"] + aligned, c["fuse_dim"])
        self.fuse_out = nn.Linear(c["fuse_dim"], c["fuse_dim"])
        self.patch_embed = nn.Linear(self.patch ** 2 * c["fuse_dim"], dim)
        self.time_in = nn.Linear(c["freq_dim"], dim)
        self.time_out = nn.Linear(dim, dim)
        self.time_proj = nn.Linear(dim, 6 * dim)
        self.null_pose = nn.Parameter(torch.zeros(c["pose_channels"]))
        if c["face_attention"]:
            self.null_face = nn.Parameter(torch.zeros(c["face_dim"]))
            self.face_position = nn.Parameter(torch.randn(4 * c["face_tokens"], c["face_dim"]) * 0.02)
        self.blocks = nn.ModuleList([Block(c) for _ in range(c["num_layers"])])
        self.head_modulation = nn.Parameter(torch.randn(2, dim) / dim ** 0.5)
        self.head = nn.Linear(dim, self.patch ** 2 * c["in_channels"])
        nn.init.zeros_(self.head.weight), nn.init.zeros_(self.head.bias)

    def tokens(self, x, pose, aligned):
        """x, pose, aligned [B, C*, T, h, w] → [B, T·(h/2)·(w/2), dim]: fused per latent pixel, then patched (row, column, channel)."""
        parts = [x, pose] + ([aligned] if self.config["aligned_reference"] else [])
        y = torch.cat(parts, 1).permute(0, 2, 3, 4, 1)
        y = self.fuse_out(F.silu(self.fuse_in(y)))
        B, T, h, w, C = y.shape
        p = self.patch
        y = y.view(B, T, h // p, p, w // p, p, C).permute(0, 1, 2, 4, 3, 5, 6)      # [B,T,h/2,w/2,ph,pw,C]
        return self.patch_embed(y.reshape(B, T * (h // p) * (w // p), p * p * C))

    def time(self, t):
        """t [B, T] → temb [B, T, dim], modulation [B, T, 6, dim]."""
        temb = self.time_out(F.silu(self.time_in(timestep_embedding(t, self.config["freq_dim"]))))
        return temb, self.time_proj(F.silu(temb)).unflatten(-1, (6, -1))

    def table(self, frames, grid, device):
        t, y, x = torch.meshgrid(torch.as_tensor(frames), torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
        positions = torch.stack((t, y, x), -1).reshape(-1, 3).to(device)
        return rotary_table(positions, self.config["dim"] // self.config["num_heads"], self.config["rope_theta"])

    def reference_start(self, references, pose=None):
        """references [B, R, C, h, w], pose [B, R, P, h, w] (None or zeros = unknown) → tokens [B, R·n, dim], modulation
        [B, R, 6, dim], rotary table (t = −1, −2, …)."""
        B, R, C, h, w = references.shape
        x = references.transpose(1, 2)
        pose = x.new_zeros(B, self.config["pose_channels"], R, h, w) if pose is None else pose.transpose(1, 2)
        tokens = self.tokens(x, pose, torch.zeros_like(x))
        t = torch.full((B, R), float(self.config["reference_timestep"]), device=x.device)
        modulation = self.time(t)[1]
        return tokens, modulation, self.table([-1 - r for r in range(R)], (h // self.patch, w // self.patch), x.device)

    def encode_references(self, references, pose=None):
        """`cached` mode: per block (k, v of self attention, k, v of reference attention). The same at every step and in every segment."""
        tokens, modulation, table = self.reference_start(references, pose)
        caches = []
        for block in self.blocks:
            cross = block.reference_attn.key_value(block.norm_reference_kv(tokens))
            e = block.modulation_of(modulation)
            y = block.modulated(tokens, *e[:2])
            k, v = block.attn.key_value(y, table)
            tokens = tokens + gated(block.attn.attend(block.attn.query(y, table), k, v), e[2])
            tokens = block.feed_forward(tokens, e)
            caches.append((k, v, *cross))
        return caches

    def face_windows(self, face):
        """face [B, F, N, C] → keys and values of each latent frame [B·T, 4·N, C]; latent 0 sees frame 0 in all four slots."""
        face = torch.cat((face[:, :1].expand(-1, 3, -1, -1), face), 1)
        B, F4, N, C = face.shape
        return face.reshape(B * (F4 // 4), 4 * N, C) + self.face_position

    def forward(self, x, timestep, pose=None, references=None, face=None, caches=None, aligned=None, reference_pose=None):
        """Velocity [B, C, T, h, w].

        x [B, C, T, h, w] noised latent (frame 0 may be clean); timestep [B, T] in 0…1, 0 on a clean frame; pose [B, P, T, h, w], None =
        dropped; references [B, R, C, h, w] (zeros = dropped) with reference_pose [B, R, P, h, w] or None; face [B, F, N, face_dim], None = dropped (face attention then sees
        `null_face` in every slot). Instead of references: `caches` of `encode_references` with `aligned` [B, C, h, w], the first reference.
        """
        c = self.config
        B, C, T, h, w = x.shape
        if pose is None:
            pose = self.null_pose.view(1, -1, 1, 1, 1).expand(B, -1, T, h, w)
        if references is not None:
            aligned = references[:, 0]
        aligned = aligned[:, :, None].expand(-1, -1, T, -1, -1)
        tokens = self.tokens(x, pose, aligned)
        temb, modulation = self.time(timestep)
        table = self.table(range(T), (h // self.patch, w // self.patch), x.device)
        windows = None
        if c["face_attention"]:
            if face is None:
                face = self.null_face.expand(B, 1 + 4 * (T - 1), c["face_tokens"], -1)
            windows = self.face_windows(face)
        joint = c["reference_attention"] == "joint"
        if joint:
            reference = self.reference_start(references, reference_pose)
        elif caches is None:
            caches = self.encode_references(references, reference_pose)
        for i, block in enumerate(self.blocks):
            if joint:
                tokens, reference = block.joint(tokens, modulation, table, reference, windows, T)
            else:
                tokens = block(tokens, modulation, table, caches[i], windows, T)
        shift, scale = (self.head_modulation + temb[:, :, None]).unbind(2)          # [B, T, dim]
        y = self.head(gated(F.layer_norm(tokens, (c["dim"],), eps=c["eps"]), 1 + scale, shift))
        p = self.patch
        y = y.view(B, T, h // p, w // p, p, p, C).permute(0, 6, 1, 2, 4, 3, 5).reshape(B, C, T, h, w)
        if c["prediction"] == "velocity":
            return y
        t = timestep[:, None, :, None, None]
        return torch.where(t > 0, (x - (y + aligned)) / t.clamp_min(c["minimum_time"]), torch.zeros_like(x))


def gated(x, scale, shift=None):
    """x [B, frames·n, dim] times scale [B, frames, dim] plus shift, the same for all n tokens of a frame."""
    y = x.unflatten(1, (scale.shape[1], -1)) * scale[:, :, None]
    return (y if shift is None else y + shift[:, :, None]).flatten(1, 2)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim, heads, eps = c["dim"], c["num_heads"], c["eps"]
        self.dim, self.eps, self.order = dim, eps, c["attention_order"]
        self.modulation = nn.Parameter(torch.randn(6, dim) / dim ** 0.5)             # shift, scale, gate; twice
        self.attn = Attention(dim, heads, eps=eps)
        self.norm_reference = nn.LayerNorm(dim, eps=eps)
        self.norm_reference_kv = nn.LayerNorm(dim, eps=eps)
        self.reference_attn = Attention(dim, heads, eps=eps)
        self.ffn_in = nn.Linear(dim, c["ffn_dim"])
        self.ffn_out = nn.Linear(c["ffn_dim"], dim)
        cross = [self.reference_attn]
        if c["face_attention"]:
            self.norm_face = nn.LayerNorm(dim, eps=eps)
            self.norm_face_kv = nn.LayerNorm(c["face_dim"], eps=eps)
            self.face_attn = Attention(dim, heads, c["face_dim"], eps=eps)
            cross.append(self.face_attn)
        for attention in cross:                                                      # a new signal starts without effect
            nn.init.zeros_(attention.to_out.weight), nn.init.zeros_(attention.to_out.bias)

    def norm1(self, x):
        """Layer norm without weights."""
        return F.layer_norm(x, (self.dim,), eps=self.eps)

    def modulation_of(self, time):
        """[B, frames, 6, dim] → shift, scale, gate of attention and of feed-forward, [B, frames, dim] each."""
        return (self.modulation + time).unbind(2)

    def modulated(self, x, shift, scale):
        return gated(self.norm1(x), 1 + scale, shift)

    def feed_forward(self, x, e):
        y = self.modulated(x, *e[3:5])
        return x + gated(self.ffn_out(F.gelu(self.ffn_in(y), approximate="tanh")), e[5])

    def cross(self, x, reference_kv, windows, T):
        for kind in self.order:
            if kind == "reference":
                x = x + self.reference_attn.attend(self.reference_attn.query(self.norm_reference(x)), *reference_kv)
            elif windows is not None:
                B, L, D = x.shape
                q = self.face_attn.query(self.norm_face(x).view(B * T, L // T, D))
                k, v = self.face_attn.key_value(self.norm_face_kv(windows))
                x = x + self.face_attn.attend(q, k, v).view(B, L, D)
        return x

    def forward(self, x, modulation, table, cache, windows, T):
        rk, rv, *reference_kv = cache
        e = self.modulation_of(modulation)
        y = self.modulated(x, *e[:2])
        k, v = self.attn.key_value(y, table)
        y = self.attn.attend(self.attn.query(y, table), torch.cat((k, rk), 2), torch.cat((v, rv), 2))
        x = self.cross(x + gated(y, e[2]), reference_kv, windows, T)
        return self.feed_forward(x, e)

    def joint(self, x, modulation, table, reference, windows, T):
        r, r_modulation, r_table = reference
        reference_kv = self.reference_attn.key_value(self.norm_reference_kv(r))
        both, L = torch.cat((x, r), 1), x.shape[1]
        e = self.modulation_of(torch.cat((modulation, r_modulation), 1))
        table = tuple(torch.cat(pair) for pair in zip(table, r_table))
        y = self.modulated(both, *e[:2])
        both = both + gated(self.attn.attend(self.attn.query(y, table), *self.attn.key_value(y, table)), e[2])
        x = self.cross(both[:, :L], reference_kv, windows, T)
        both = self.feed_forward(torch.cat((x, both[:, L:]), 1), e)
        return both[:, :L], (both[:, L:], r_modulation, r_table)


class PoseEncoder(nn.Module):
    """Skeleton map RGB and sphere map RGB → pose features on the latent grid. Strides 8 (space) and 4 (time), causal.

    maps [B, 6, F, H, W] in 0…1 (bytes / 255; skeleton first) → [B, out_channels, T, H/8, W/8].
    """

    defaults = dict(_class_name="PoseEncoder", in_channels=6, channels=[8, 32, 64], out_channels=32)

    def __init__(self, **config):
        super().__init__()
        c = self.config = {**self.defaults, **config}
        a, *rest = c["channels"]
        self.conv_in = CausalConv3d(c["in_channels"], a, (1, 3, 3), (1, 2, 2))
        self.stages = nn.ModuleList()
        for b in rest:                                                               # two: each halves space and time
            self.stages.append(nn.ModuleDict({"residual": ResidualConv(a, True), "down": CausalConv3d(a, b, (3, 3, 3), (2, 2, 2))}))
            a = b
        self.residual = ResidualConv(a, True)
        self.norm_out = ChannelNorm(a)
        self.conv_out = CausalConv3d(a, c["out_channels"], (1, 1, 1))

    def forward(self, maps):
        x = self.conv_in(maps)
        for stage in self.stages:
            x = stage["down"](stage["residual"](x))
        return self.conv_out(F.silu(self.norm_out(self.residual(x))))


class FaceMotionEncoder(nn.Module):
    """Face crop → implicit motion tokens. `motion_dim` is the bottleneck: too narrow to carry a face's identity.

    crops [B, 3, S, S] in −1…1 (S = image_size, RGB) → tokens [B, N, face_dim]. Frames go in as the batch.
    """

    defaults = dict(_class_name="FaceMotionEncoder", image_size=64, channels=[16, 32, 48, 64], motion_dim=24, hidden_dim=128,
                    face_tokens=4, face_dim=64)

    def __init__(self, **config):
        super().__init__()
        c = self.config = {**self.defaults, **config}
        a, *rest = c["channels"]
        self.conv_in = nn.Conv2d(3, a, 3, 2, 1)
        self.stages = nn.ModuleList()
        for b in rest:
            self.stages.append(nn.ModuleDict({"norm": ChannelNorm(a), "down": nn.Conv2d(a, b, 3, 2, 1)}))
            a = b
        self.residual = ResidualConv(a, False)
        grid = c["image_size"] >> len(c["channels"])
        self.to_motion = nn.Linear(a * grid * grid, c["motion_dim"])                 # of [C, y, x] flattened
        self.mlp_in = nn.Linear(c["motion_dim"], c["hidden_dim"])
        self.mlp_out = nn.Linear(c["hidden_dim"], c["face_tokens"] * c["face_dim"])

    def motion_logits(self, crops):
        x = self.conv_in(crops)
        for stage in self.stages:
            x = stage["down"](F.silu(stage["norm"](x)))
        return self.to_motion(F.silu(self.residual(x)).flatten(1))

    def motion(self, crops):
        return torch.tanh(self.motion_logits(crops))

    def tokens(self, motion):
        y = self.mlp_out(F.silu(self.mlp_in(motion)))
        return y.unflatten(-1, (self.config["face_tokens"], self.config["face_dim"]))

    def forward(self, crops):
        return self.tokens(self.motion(crops))


class AudioEncoder(nn.Module):
    """Audio features on video frames → the same face motion tokens as FaceMotionEncoder's.

    features [B, F, window·mels]: for each video frame, `window` mel frames of 20 ms around it, oldest first (audio.py defines both) →
    tokens [B, F, N, face_dim]. The convolution over time sees `kernel` video frames, centred, zeros outside the clip.
    """

    defaults = dict(_class_name="AudioEncoder", mels=80, window=16, channels=[96, 96], dim=192, num_layers=2, kernel=5,
                    face_tokens=4, face_dim=64, sample_rate=16000, hop=320)

    def __init__(self, **config):
        super().__init__()
        c = self.config = {**self.defaults, **config}
        a, b = c["channels"]
        self.conv1 = nn.Conv1d(c["mels"], a, 3, 1, 1)
        self.conv2 = nn.Conv1d(a, b, 3, 2, 1)
        self.proj_in = nn.Linear(b * (c["window"] // 2), c["dim"])                   # of [C, time] flattened
        self.layers = nn.ModuleList([nn.ModuleDict({"norm": ChannelNorm(c["dim"]),
                                                    "conv": nn.Conv1d(c["dim"], c["dim"], c["kernel"], 1, c["kernel"] // 2)})
                                     for _ in range(c["num_layers"])])
        self.proj_out = nn.Linear(c["dim"], c["face_tokens"] * c["face_dim"])

    def forward(self, features):
        c = self.config
        B, frames, _ = features.shape
        x = features.view(B * frames, c["window"], c["mels"]).transpose(1, 2)
        x = F.silu(self.conv2(F.silu(self.conv1(x))))
        x = self.proj_in(x.flatten(1)).view(B, frames, -1).transpose(1, 2)           # [B, dim, F]
        for layer in self.layers:
            x = x + layer["conv"](F.silu(layer["norm"](x)))
        y = self.proj_out(F.silu(x).transpose(1, 2))
        return y.unflatten(-1, (c["face_tokens"], c["face_dim"]))


class KeypointNet(nn.Module):
    """Picture of a generated actor → key points and head. A small U-Net with heat maps at a quarter of the size.

    image [B, 3, S, S] in −1…1 → dictionary
      heatmaps   [B, K, S/4, S/4]  logits; softmax over each map gives the key point as its mean, cell (y, x) has its centre at 4·(x + ½) pixels
      depths     [B, K, S/4, S/4]  metres (away from the camera, from the hips); the key point's is its mean under the same softmax
      visibility [B, K]            logits
      head       [B, 9]            first two columns of the head's rotation, (column 0; column 1), not yet orthonormal; centre x, y and radius / S
    """

    defaults = dict(_class_name="KeypointNet", image_size=128, channels=[16, 32, 48, 64, 96], names=[])

    def __init__(self, **config):
        super().__init__()
        c = self.config = {**self.defaults, **config}
        ch, K = c["channels"], len(c["names"])
        self.conv_in = nn.Conv2d(3, ch[0], 3, 2, 1)
        self.downs = nn.ModuleList([nn.ModuleDict({"residual": ResidualConv(a, False), "down": nn.Conv2d(a, b, 3, 2, 1)})
                                    for a, b in zip(ch[:-1], ch[1:])])
        self.middle = ResidualConv(ch[-1], False)
        self.ups = nn.ModuleList([nn.ModuleDict({"up": nn.Conv2d(b, a, 1), "residual": ResidualConv(a, False)})
                                  for b, a in zip(ch[:1:-1], ch[-2:0:-1])])
        self.norm_out = ChannelNorm(ch[1])
        self.to_heatmaps = nn.Conv2d(ch[1], K, 1)
        self.to_depths = nn.Conv2d(ch[1], K, 1)
        self.norm_pool = ChannelNorm(ch[-1])
        side = c["image_size"] >> len(ch)
        self.pool_in = nn.Linear(ch[-1] * side * side, 128)
        self.to_visibility = nn.Linear(128, K)
        self.to_head = nn.Linear(128, 9)

    def forward(self, image):
        x = self.conv_in(image)
        skips = []
        for stage in self.downs:
            x = stage["down"](stage["residual"](x))
            skips.append(x)
        x = self.middle(x)
        pooled = F.silu(self.pool_in(F.silu(self.norm_pool(x)).flatten(1)))
        skips.pop()
        for stage in self.ups:
            x = F.interpolate(stage["up"](x), scale_factor=2, mode="nearest") + skips.pop()
            x = stage["residual"](x)
        x = F.silu(self.norm_out(x))
        return {"heatmaps": self.to_heatmaps(x), "depths": self.to_depths(x),
                "visibility": self.to_visibility(pooled), "head": self.to_head(pooled)}


CLASSES = {k.__name__: k for k in (DreamActorTransformer, PoseEncoder, FaceMotionEncoder, AudioEncoder, KeypointNet, BlockVAE)}


def build(config):
    """The network of a config.json."""
    name = config.get("_class_name")
    if name not in CLASSES:
        raise ValueError(f"config.json: _class_name is {name!r}; known are {', '.join(sorted(CLASSES))}")
    return CLASSES[name](**config)
