"""BlockVAE: the small causal video VAE of the bundled actor model.

Stride 8 in space and 4 in time like Wan's, but all work is done on the latent grid: a block of 4 frames × 8 × 8 pixels becomes one column of 768
channels at once, so that two processor cores train and decode it in reasonable time. A linear path stands beside the
network; it starts as the best linear coder (`fit_linear`: principal components, then least squares), and the network adds to it.

Frame 0 is coded as if the clip had stood still before it: it fills the four time slots of latent 0, and is decoded from the last of them.
"""
import torch
import torch.nn.functional as F
from torch import nn

from .layers import CausalConv3d, ChannelNorm, ResidualConv


class BlockVAE(nn.Module):
    """encode: video [B, 3, F, H, W] in −1…1 → latent [B, z, T, H/8, W/8] (a mean; not sampled);  decode: back, not clamped.

    Channel order of a block column: colour, frame, row, column (colour slowest): ((c·4 + t)·8 + y)·8 + x.
    Diffusion works on (latent − latents_mean) / latents_std.
    """

    defaults = dict(_class_name="BlockVAE", z_dim=16, encoder_dim=96, encoder_blocks=1, decoder_dim=128, decoder_blocks=3,
                    scale_factor_temporal=4, scale_factor_spatial=8)

    def __init__(self, **config):
        super().__init__()
        c = self.config = {**self.defaults, **config}
        z = c["z_dim"]
        c.setdefault("latents_mean", [0.0] * z), c.setdefault("latents_std", [1.0] * z)
        self.encoder, self.decoder = nn.Module(), nn.Module()
        d = c["encoder_dim"]
        self.encoder.direct = nn.Conv3d(768, z, 1)
        self.encoder.embed = nn.Conv3d(768, d, 1)
        self.encoder.blocks = nn.ModuleList([ResidualConv(d, True) for _ in range(c["encoder_blocks"])])
        self.encoder.norm_out, self.encoder.out = ChannelNorm(d), nn.Conv3d(d, z, 1)
        d = c["decoder_dim"]
        self.decoder.direct = CausalConv3d(z, 768, (3, 3, 3))
        self.decoder.embed = CausalConv3d(z, d, (3, 3, 3))
        self.decoder.blocks = nn.ModuleList([ResidualConv(d, True) for _ in range(c["decoder_blocks"])])
        self.decoder.norm_out, self.decoder.out = ChannelNorm(d), nn.Conv3d(d, 768, 1)
        for half in (self.encoder, self.decoder):
            nn.init.zeros_(half.out.weight), nn.init.zeros_(half.out.bias)

    @staticmethod
    def to_blocks(x):
        """[B, 3, F, H, W] → [B, 768, T, H/8, W/8]"""
        x = torch.cat((x[:, :, :1].expand(-1, -1, 3, -1, -1), x), 2)
        B, C, F4, H, W = x.shape
        x = x.view(B, C, F4 // 4, 4, H // 8, 8, W // 8, 8).permute(0, 1, 3, 5, 7, 2, 4, 6)
        return x.reshape(B, C * 256, F4 // 4, H // 8, W // 8)

    @staticmethod
    def from_blocks(y):
        B, C, T, h, w = y.shape
        y = y.view(B, C // 256, 4, 8, 8, T, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return y.reshape(B, C // 256, T * 4, h * 8, w * 8)[:, :, 3:]

    @staticmethod
    def branch(half, y):
        y = half.embed(y)
        for block in half.blocks:
            y = block(y)
        return half.out(F.silu(half.norm_out(y)))

    def encode(self, x):
        y = self.to_blocks(x)
        return self.encoder.direct(y) + self.branch(self.encoder, y)

    def decode(self, z):
        return self.from_blocks(self.decoder.direct(z) + self.branch(self.decoder, z))

    def statistics(self, like):
        return tuple(torch.tensor(self.config[k]).view(1, -1, 1, 1, 1).to(like) for k in ("latents_mean", "latents_std"))

    def standardised(self, x):
        """The latent that the DiT sees."""
        mean, std = self.statistics(x)
        return (self.encode(x) - mean) / std

    def from_standardised(self, z):
        mean, std = self.statistics(z)
        return self.decode(z * std + mean).clamp(-1, 1)


@torch.no_grad()
def fit_linear(vae, clips, ridge=1e-4):
    """Solves the linear path: encoder = principal components of the blocks, decoder = least squares from 3×3×3 latents.

    clips: a callable that returns an iterator over videos [B, 3, F, H, W]; it is gone through twice.
    """
    count, total, second = 0, 0, 0
    for x in clips():
        y = vae.to_blocks(x).transpose(0, 1).flatten(1).double()
        count, total, second = count + y.shape[1], total + y.sum(1), second + y @ y.T
    mean = total / count
    _, vectors = torch.linalg.eigh(second / count - torch.outer(mean, mean))
    basis = vectors.flip(1)[:, :vae.config["z_dim"]].T / 16                          # a coefficient of a flat block ≈ its grey value · 1.7
    vae.encoder.direct.weight.copy_(basis.float()[:, :, None, None, None])
    vae.encoder.direct.bias.copy_((-basis @ mean).float())
    gram = cross = 0
    for x in clips():
        y = vae.to_blocks(x)
        z = F.pad(vae.encoder.direct(y), vae.decoder.direct.pads)
        T, h, w = y.shape[2:]
        columns = torch.stack([z[:, :, t:t + T, i:i + h, j:j + w] for t in range(3) for i in range(3) for j in range(3)], 2)
        columns = columns.permute(1, 2, 0, 3, 4, 5).flatten(2).flatten(0, 1)         # [z·27, cells]
        columns = torch.cat((columns, torch.ones(1, columns.shape[1]))).double()
        gram, cross = gram + columns @ columns.T, cross + y.transpose(0, 1).flatten(1).double() @ columns.T
    penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    penalty[-1, -1] = 0
    solution = torch.linalg.solve(gram + penalty, cross.T).T.float()
    vae.decoder.direct.weight.copy_(solution[:, :-1].view_as(vae.decoder.direct.weight))
    vae.decoder.direct.bias.copy_(solution[:, -1])
