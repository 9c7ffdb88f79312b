"""Flow matching as the product samples it: Euler steps from t = 1 to 0 over a shifted schedule."""
import torch


def schedule(steps, shift):
    """steps + 1 times from 1 to 0: s·u / (1 + (s − 1)·u) of u = 1 … 0."""
    u = torch.linspace(1, 0, steps + 1)
    return shift * u / (1 + (shift - 1) * u)


@torch.no_grad()
def sample(transformer, noise, pose, references, face=None, first=None, steps=6, guidance=(1.0, 1.0), reference_pose=None):
    """noise [B, C, T, h, w] → latent. first [B, C, h, w]: clean latent 0. guidance: (reference, motion); 1, 1 = one pass a step.

    v = v(none) + g_r · (v(reference) − v(none)) + g_m · (v(both) − v(reference)).
    """
    x, T = noise.clone(), noise.shape[2]
    caches, empty = transformer.encode_references(references, reference_pose), None
    if guidance[0] != 1:
        empty = transformer.encode_references(torch.zeros_like(references))
    times = schedule(steps, transformer.config["shift"])
    for a, b in zip(times[:-1], times[1:]):
        t = torch.full((len(x), T), float(a), device=x.device)
        if first is not None:
            x[:, :, 0], t[:, 0] = first, 0
        v = transformer(x, t, pose, face=face, caches=caches, aligned=references[:, 0])
        if guidance != (1.0, 1.0):
            still = transformer(x, t, None, caches=caches, aligned=references[:, 0]) if guidance[1] != 1 else v
            base = still
            if guidance[0] != 1:
                base = transformer(x, t, None, caches=empty, aligned=torch.zeros_like(references[:, 0]))
            v = base + guidance[0] * (still - base) + guidance[1] * (v - still)
        x = x + (b - a) * v
    if first is not None:
        x[:, :, 0] = first
    return x
