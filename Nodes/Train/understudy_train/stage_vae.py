"""train.vae: the autoencoder. Closed-form linear start, then the network; last, the statistics of its latents."""
import torch

from .block_vae import BlockVAE, fit_linear
from .data import Clips, pictures
from .training import Report, Training, device


def psnr(a, b, mask=None):
    """dB of pictures in −1…1, whole batch; mask broadcasts over them."""
    e = (a - b).square()
    mse = e.mean() if mask is None else (e * mask).sum() / (mask.expand_as(e).sum() + 1e-9)
    return float(10 * torch.log10(4 / mse))


def crop_batch(clips, rng, batch, frames, side):
    out = []
    F, H, W, _ = clips.shape("frames")
    for c in rng.choice(len(clips.training), batch):
        f, y, x = int(rng.integers(0, F - frames + 1)), int(rng.integers(0, H - side + 1)), int(rng.integers(0, W - side + 1))
        out.append(clips.get("frames", clips.training[int(c)], slice(f, f + frames))[:, y:y + side, x:x + side])
    return pictures(torch.stack(out).to(device()))


def run(options):
    clips = Clips(options.data, options.held_out)
    vae = BlockVAE(z_dim=options.z_dim).to(device())
    training = Training(options.out, {"vae": vae}, steps=options.steps, minutes=options.minutes, rate=options.rate or 1.5e-3,
                        average=0.99, seed=options.seed, configuration={"stage": "vae"})
    if training.step == 0:
        some = clips.training[:: max(1, len(clips.training) // options.linear_clips)]
        fit_linear(vae, lambda: (pictures(clips.stack("frames", [c])) for c in some))
        training.averaged["vae"].load_state_dict(vae.state_dict())
        set_statistics(vae, clips)                                                   # a run that is cut short must have them too
        training.averaged["vae"].config.update(vae.config)
        Report.line("linear start solved")

    def evaluate(networks):
        values = [psnr(networks["vae"].decode(networks["vae"].encode(x)).clamp(-1, 1), x)
                  for x in (pictures(clips.stack("frames", [c])) for c in clips.held_out[:16])]
        return {"psnr": round(sum(values) / len(values), 3)}

    def loss(x, rng):
        error = vae.decode(vae.encode(x)) - x
        squared = error.square().mean()
        return squared + 0.01 * error.abs().mean(), {"psnr": float(10 * torch.log10(4 / squared.detach()))}

    # Crops: eight pixels of context matter, whole pictures do not. Frame counts 1 (pictures) to 9.
    def batch(rng):
        frames = int(rng.choice([1, 5, 9, 9]))
        return crop_batch(clips, rng, options.batch * (9 // frames), frames, options.crop)

    training.run(batch, loss, evaluate, options.judgements, options.save_every)
    set_statistics(training.averaged["vae"], clips)
    vae.config.update(training.averaged["vae"].config)
    training.save()


@torch.no_grad()
def set_statistics(vae, clips, count=200):
    """Mean per channel; scale between each channel's own and the common one (their geometric mean), so that what matters little in
    pixels also matters less in the loss."""
    some = clips.training[:: max(1, len(clips.training) // count)]
    total = second = number = 0
    for c in some:
        z = vae.encode(pictures(clips.stack("frames", [c]))).double()
        total, second, number = total + z.sum([0, 2, 3, 4]), second + z.square().sum([0, 2, 3, 4]), number + z[0, 0].numel()
    mean = total / number
    std = (second / number - mean ** 2).sqrt()
    scale = (std * std.square().mean().sqrt()).sqrt()
    vae.config["latents_mean"], vae.config["latents_std"] = [round(float(v), 6) for v in mean], [round(float(v), 6) for v in scale]
