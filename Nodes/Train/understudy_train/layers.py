"""Building blocks that several networks share. Their parameter names are part of the file format."""
import math

import torch
import torch.nn.functional as F
from torch import nn


class ChannelNorm(nn.Module):
    """x / max(‖x‖, 1e-12) · √C · gamma over the channel axis (axis 1), as in Wan's VAE. gamma [C]."""

    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        gamma = self.gamma.view(-1, *[1] * (x.dim() - 2))
        return F.normalize(x, dim=1) * (x.shape[1] ** 0.5) * gamma


class RMSNorm(nn.Module):
    """x / √(mean(x²) + eps) · weight over the last axis."""

    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class CausalConv3d(nn.Conv3d):
    """3D convolution: zeros on both sides in space (k//2), zeros only before in time (k_t − 1).

    With stride 2 in time, 1+2k frames become 1+k: output i sees input frames 2i−2, 2i−1, 2i.
    """

    def __init__(self, inputs, outputs, kernel, stride=(1, 1, 1)):
        super().__init__(inputs, outputs, kernel, stride, padding=0)
        kt, kh, kw = self.kernel_size
        self.pads = (kw // 2, kw // 2, kh // 2, kh // 2, kt - 1, 0)

    def forward(self, x):
        return super().forward(F.pad(x, self.pads))


class ResidualConv(nn.Module):
    """x + conv(silu(norm(x))) with the given convolution class: 3×3×3 causal, or 3×3."""

    def __init__(self, channels, causal3d):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv = CausalConv3d(channels, channels, (3, 3, 3)) if causal3d else nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv(F.silu(self.norm(x)))


def rotary_table(positions, head_dim, theta=10000.0):
    """cos, sin [L, head_dim/2] of 3D rotary embedding for integer positions [L, 3] in the order (t, h, w).

    The head splits into h = w = 2·(d//6) and t = d − h − w channels, laid out t, h, w; pair k of an axis with
    n channels turns by position · theta^(−2k/n). Computed in float64.
    """
    side = 2 * (head_dim // 6)
    angles = []
    for axis, n in enumerate((head_dim - 2 * side, side, side)):
        frequency = theta ** (-torch.arange(0, n, 2, dtype=torch.float64) / n)
        angles.append(positions[:, axis, None].double().cpu() * frequency)
    angles = torch.cat(angles, 1)
    return angles.cos().float().to(positions.device), angles.sin().float().to(positions.device)


def rotate(x, table):
    """Rotary embedding of x [B, heads, L, d]; neighbouring channels (2k, 2k+1) form a pair."""
    cos, sin = table
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Attention(nn.Module):
    """Multi-head attention with QK-RMSNorm per head (after the split into heads). Scale 1/√head_dim."""

    def __init__(self, dim, heads, context_dim=None, eps=1e-6):
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(context_dim or dim, dim)
        self.to_v = nn.Linear(context_dim or dim, dim)
        self.norm_q = RMSNorm(self.head_dim, eps)
        self.norm_k = RMSNorm(self.head_dim, eps)
        self.to_out = nn.Linear(dim, dim)

    def split(self, x):
        return x.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)        # [B, heads, L, d]

    def query(self, x, table=None):
        q = self.norm_q(self.split(self.to_q(x)))
        return q if table is None else rotate(q, table)

    def key_value(self, x, table=None):
        k = self.norm_k(self.split(self.to_k(x)))
        return (k if table is None else rotate(k, table)), self.split(self.to_v(x))

    def attend(self, q, k, v):
        return self.to_out(attention(q, k, v).transpose(1, 2).flatten(-2))


def attention(q, k, v):
    """softmax(q·kᵀ / √d)·v of [B, heads, L, d]. On a CPU by matrix products: with so few tokens, and many of them in a batch, PyTorch's fused
    kernel takes two to eight times as long in bf16."""
    if q.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.scaled_dot_product_attention(q, k, v)
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1) @ v


def timestep_embedding(t, dim, scale=1000.0):
    """Sinusoids of t in 0…1, times 1000: cosine half first, frequency i is 10000^(−i/half). [...] → [..., dim]"""
    half = dim // 2
    frequency = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t.float()[..., None] * scale * frequency
    return torch.cat((angles.cos(), angles.sin()), -1)
