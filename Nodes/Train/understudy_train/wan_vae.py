"""A small causal 3D VAE in the layout of Wan 2.2's (`AutoencoderKLWan` with `is_residual`), made to train fast.

diffusers runs that class in chunks with a feature cache. Here the whole clip goes through at once, with the same numbers and the same tensor
names, so weights pass between the two unchanged (`python -m understudy_train.wan_vae` checks that). Only the residual form is written.
"""
import torch
import torch.nn.functional as F
from torch import nn

DEFAULTS = dict(base_dim=32, decoder_base_dim=24, z_dim=16, dim_mult=[1, 2, 2], num_res_blocks=1, attn_scales=[],
                temperal_downsample=[True, True], dropout=0.0, is_residual=True, in_channels=12, out_channels=12, patch_size=2,
                scale_factor_temporal=4, scale_factor_spatial=8)


class Conv(nn.Conv3d):
    """Zeros around in space, zeros before in time."""

    def __init__(self, a, b, kernel, stride=1, pad=True):
        super().__init__(a, b, kernel, stride)
        kt, kh, kw = self.kernel_size
        self.pads = (kw // 2, kw // 2, kh // 2, kh // 2, kt - 1, 0) if pad else (0,) * 6

    def forward(self, x):
        return super().forward(F.pad(x, self.pads) if any(self.pads) else x)


class Norm(nn.Module):
    def __init__(self, dim, axes=3):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim, *[1] * axes))

    def forward(self, x):
        return F.normalize(x, dim=1) * (x.shape[1] ** 0.5) * self.gamma


class Residual(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.norm1, self.conv1 = Norm(a), Conv(a, b, 3)
        self.norm2, self.conv2 = Norm(b), Conv(b, b, 3)
        self.conv_shortcut = Conv(a, b, 1) if a != b else nn.Identity()

    def forward(self, x):
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class FrameAttention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm, self.to_qkv, self.proj = Norm(dim, 2), nn.Conv2d(dim, 3 * dim, 1), nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        B, C, T, h, w = x.shape
        y = self.norm(x.transpose(1, 2).reshape(B * T, C, h, w))
        q, k, v = self.to_qkv(y).flatten(2).transpose(1, 2)[:, None].chunk(3, -1)
        y = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(B * T, C, h, w)
        return x + self.proj(y).view(B, T, C, h, w).transpose(1, 2)


class Middle(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.attentions = nn.ModuleList([FrameAttention(dim)])
        self.resnets = nn.ModuleList([Residual(dim, dim), Residual(dim, dim)])

    def forward(self, x):
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


def frames2d(module, x):
    B, C, T, h, w = x.shape
    y = module(x.transpose(1, 2).reshape(B * T, C, h, w))
    return y.view(B, T, *y.shape[1:]).transpose(1, 2)


class Down(nn.Module):
    """Half the picture, and of 1+2k frames 1+k: frame 0 stays; windows of three, step two, over the rest."""

    def __init__(self, dim, time):
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(dim, dim, 3, 2))
        if time:
            self.time_conv = Conv(dim, dim, (3, 1, 1), (2, 1, 1), pad=False)
        self.time = time

    def forward(self, x):
        x = frames2d(self.resample, x)
        return torch.cat([x[:, :, :1], self.time_conv(x)], 2) if self.time and x.shape[2] > 1 else x


class Up(nn.Module):
    """Twice the picture; frame 0 stays one, each later frame becomes two. Zeros, not frame 0, lie before frame 1."""

    def __init__(self, dim, time):
        super().__init__()
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest-exact"), nn.Conv2d(dim, dim, 3, padding=1))
        if time:
            self.time_conv = Conv(dim, 2 * dim, (3, 1, 1))
        self.time = time

    def forward(self, x):
        if self.time and x.shape[2] > 1:
            B, C, T, h, w = x.shape
            y = self.time_conv(x[:, :, 1:]).view(B, 2, C, T - 1, h, w).permute(0, 2, 3, 1, 4, 5).reshape(B, C, 2 * (T - 1), h, w)
            x = torch.cat([x[:, :, :1], y], 2)
        return frames2d(self.resample, x)


def average_down(x, out, ft, fs):
    """Space and time to channels (channel, t, y, x), then means over neighbouring channels. Zero frames in front where T is odd."""
    x = F.pad(x, (0, 0, 0, 0, -x.shape[2] % ft, 0))
    B, C, T, H, W = x.shape
    x = x.view(B, C, T // ft, ft, H // fs, fs, W // fs, fs).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(B, out, -1, T // ft, H // fs, W // fs).mean(2)


def repeat_up(x, out, ft, fs):
    """Channels repeated, then to space and time; the first frame stays one."""
    B, C, T, H, W = x.shape
    x = x.repeat_interleave(out * ft * fs * fs // C, 1).view(B, out, ft, fs, fs, T, H, W)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(B, out, T * ft, H * fs, W * fs)[:, :, ft - 1:]


class DownBlock(nn.Module):
    def __init__(self, a, b, layers, time, down):
        super().__init__()
        self.out, self.ft, self.fs = b, 2 if time else 1, 2 if down else 1
        self.resnets = nn.ModuleList([Residual(a if i == 0 else b, b) for i in range(layers)])
        self.downsampler = Down(b, time) if down else None

    def forward(self, x):
        y = x
        for resnet in self.resnets:
            y = resnet(y)
        if self.downsampler is not None:
            y = self.downsampler(y)
        return y + average_down(x, self.out, self.ft, self.fs)


class UpBlock(nn.Module):
    def __init__(self, a, b, layers, time, up):
        super().__init__()
        self.out, self.ft = b, 2 if time else 1
        self.resnets = nn.ModuleList([Residual(a if i == 0 else b, b) for i in range(layers + 1)])
        self.upsampler = Up(b, time) if up else None

    def forward(self, x):
        y = x
        for resnet in self.resnets:
            y = resnet(y)
        return y if self.upsampler is None else self.upsampler(y) + repeat_up(x, self.out, self.ft, 2)


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        dims = [c["base_dim"] * m for m in [1] + c["dim_mult"]]
        last = len(c["dim_mult"]) - 1
        self.conv_in = Conv(c["in_channels"], dims[0], 3)
        self.down_blocks = nn.ModuleList([DownBlock(a, b, c["num_res_blocks"], i < last and c["temperal_downsample"][i], i < last)
                                          for i, (a, b) in enumerate(zip(dims[:-1], dims[1:]))])
        self.mid_block, self.norm_out, self.conv_out = Middle(dims[-1]), Norm(dims[-1]), Conv(dims[-1], 2 * c["z_dim"], 3)

    def forward(self, x):
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        dims = [c["decoder_base_dim"] * m for m in [c["dim_mult"][-1]] + c["dim_mult"][::-1]]
        last, time = len(c["dim_mult"]) - 1, c["temperal_downsample"][::-1]
        self.conv_in, self.mid_block = Conv(c["z_dim"], dims[0], 3), Middle(dims[0])
        self.up_blocks = nn.ModuleList([UpBlock(a, b, c["num_res_blocks"], i < last and time[i], i < last)
                                        for i, (a, b) in enumerate(zip(dims[:-1], dims[1:]))])
        self.norm_out, self.conv_out = Norm(dims[-1]), Conv(dims[-1], c["out_channels"], 3)

    def forward(self, z):
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class VAE(nn.Module):
    """encode: [B, 3, F, H, W] in −1…1 → mean [B, z, T, H/8, W/8];  decode: back (not clamped)."""

    def __init__(self, **config):
        super().__init__()
        c = self.config = {**DEFAULTS, "latents_mean": [0.0] * config.get("z_dim", 16), "latents_std": [1.0] * config.get("z_dim", 16), **config}
        self.encoder, self.quant_conv = Encoder(c), Conv(2 * c["z_dim"], 2 * c["z_dim"], 1)
        self.post_quant_conv, self.decoder = Conv(c["z_dim"], c["z_dim"], 1), Decoder(c)

    def encode(self, x):
        B, C, T, H, W = x.shape
        p = self.config["patch_size"]
        x = x.view(B, C, T, H // p, p, W // p, p).permute(0, 1, 6, 4, 2, 3, 5).reshape(B, C * p * p, T, H // p, W // p)
        return self.quant_conv(self.encoder(x))[:, :self.config["z_dim"]]

    def decode(self, z):
        x = self.decoder(self.post_quant_conv(z))
        B, C, T, h, w = x.shape
        p = self.config["patch_size"]
        return x.view(B, C // (p * p), p, p, T, h, w).permute(0, 1, 4, 5, 3, 6, 2).reshape(B, C // (p * p), T, h * p, w * p)

    def statistics(self, like):
        shape = (1, -1, 1, 1, 1)
        return (torch.tensor(self.config["latents_mean"]).view(shape).to(like), torch.tensor(self.config["latents_std"]).view(shape).to(like))

    def standardised(self, x):
        """The latent that the DiT sees."""
        z = self.encode(x)
        mean, std = self.statistics(z)
        return (z - mean) / std

    def from_standardised(self, z):
        mean, std = self.statistics(z)
        return self.decode(z * std + mean).clamp(-1, 1)


def start_linear(vae):
    """Makes a fresh VAE a linear autoencoder, nearly: every residual branch ends in zeros, and a common offset before the
    two last norms keeps norm and SiLU in their straight part, so that nothing of the signal's size is lost. It then
    trains like one: fast at first, and the branches grow in as they help."""
    with torch.no_grad():
        for m in vae.modules():
            if isinstance(m, Residual):
                nn.init.zeros_(m.conv2.weight), nn.init.zeros_(m.conv2.bias)
            if isinstance(m, FrameAttention):
                nn.init.zeros_(m.proj.weight), nn.init.zeros_(m.proj.bias)
        for half in (vae.encoder, vae.decoder):
            blocks = half.mid_block if half is vae.encoder else half.up_blocks[-1]
            blocks.resnets[-1].conv2.bias.fill_(4.0)
            half.norm_out.gamma.fill_(3.0)
            half.conv_out.weight.div_(3.0)
        vae.quant_conv.weight.copy_(torch.eye(vae.quant_conv.weight.shape[0])[:, :, None, None, None])
        vae.post_quant_conv.weight.copy_(torch.eye(vae.config["z_dim"])[:, :, None, None, None])
        vae.quant_conv.bias.zero_(), vae.post_quant_conv.bias.zero_()


def check_against_diffusers():
    from diffusers import AutoencoderKLWan
    torch.manual_seed(0)
    ours = VAE(base_dim=8, decoder_base_dim=8, z_dim=4).eval()
    keys = {k: v for k, v in ours.config.items() if k not in ("dropout",)}
    theirs = AutoencoderKLWan(**keys).eval()
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        for frames in (1, 5, 9, 17):
            x = torch.rand(1, 3, frames, 32, 48) * 2 - 1
            z = theirs.encode(x).latent_dist.mode()
            e = (z - ours.encode(x)).abs().max()
            d = (theirs.decode(z).sample - ours.decode(z).clamp(-1, 1)).abs().max()
            print(f"{frames} frames: encode differs by {e:.1e}, decode by {d:.1e}")


if __name__ == "__main__":
    check_against_diffusers()
