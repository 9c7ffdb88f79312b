"""Runs networks and their parts in PyTorch/diffusers and in Understudy, one after the other on the same inputs, weights and threads, and
prints times, ratios, the share of the machine's peak, and how far the outputs are apart. See run.sh and the README beside it."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Latent frames, rows and columns. The DiT makes a token of 2×2 latent pixels; the autoencoder 1 + 4·(frames − 1) pictures of 8×8 pixels each.
DIT = {"full": (4, 64, 64), "quick": (1, 64, 64)}
VAE = {"full": (5, 32, 32), "quick": (2, 32, 32)}
ITEMS = {
    "linear 1536→1536": ("linear", (4096, 1536, 1536)),
    "linear 1536→8960": ("linear", (4096, 1536, 8960)),
    "linear 8960→1536": ("linear", (4096, 8960, 1536)),
    "attention 12×4096×128": ("attention", (12, 4096, 128)),
    "DiT forward": ("dit", None),
    "VAE decode": ("vae", None),
}
ACTOR = HERE.parents[2] / "Examples/models/transformer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="our benchmarks executable")
    parser.add_argument("--work", type=Path, required=True, help="folder for random weights and inputs")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="smaller inputs for the two networks")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--precision", default="f32,bf16,int8", help="which of f32, bf16, int8, separated by commas")
    parser.add_argument("--torch", nargs=3, metavar=("KIND", "PRECISION", "SIZE"), help=argparse.SUPPRESS)
    parser.add_argument("only", nargs="*", help="parts of item names; all items if missing")
    options = parser.parse_args()
    if options.torch:
        torch_side(options, *options.torch)
    else:
        compare(options)


# Making weights and inputs


def prepare(options, kind: str, size) -> Path:
    """The folder with `inputs.safetensors` and, for networks, `model/` in Hugging Face's layout."""
    import torch
    from safetensors.torch import save_file

    label = "x".join(map(str, size))
    folder = options.work / f"{kind}-{label}"
    if (folder / "inputs.safetensors").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    if kind == "linear":
        rows, inputs, outputs = size
        tensors = {
            "x": torch.randn(rows, inputs), "weight": torch.randn(outputs, inputs) / inputs**0.5, "bias": torch.randn(outputs)}
    elif kind == "attention":
        heads, tokens, width = size
        tensors = {name: torch.randn(tokens, heads * width) for name in "qkv"}
    elif kind == "dit":
        from diffusers import WanTransformer3DModel

        save_model(options, "dit-model", lambda: WanTransformer3DModel(
            num_attention_heads=12, attention_head_dim=128, in_channels=16, out_channels=16, text_dim=4096, freq_dim=256,
            ffn_dim=8960, num_layers=4))
        tensors = {"latents": torch.randn(16, *size), "text": torch.randn(512, 4096)}
    else:
        from diffusers import AutoencoderKLWan

        save_model(options, "vae-model", AutoencoderKLWan)
        tensors = {"latents": torch.randn(16, *size)}
    save_file(tensors, folder / "inputs.part")
    os.rename(folder / "inputs.part", folder / "inputs.safetensors")
    return folder


def save_model(options, name: str, make) -> None:
    if (options.work / name / "config.json").exists():
        return
    part = options.work / f"{name}.part"
    make().save_pretrained(part)
    os.rename(part, options.work / name)


def load_model(options, kind: str):
    import diffusers
    from safetensors.torch import load_file

    folder = options.work / f"{kind}-model"
    config = json.loads((folder / "config.json").read_text())
    model = getattr(diffusers, config["_class_name"])(**{k: v for k, v in config.items() if not k.startswith("_")})
    model.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"))
    return model.eval()


# PyTorch's side, in a process of its own for the sake of its memory


def torch_side(options, kind: str, precision: str, size: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(options.threads)
    folder = options.work / f"{kind}-{size}"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = {name: value.to(dtype) for name, value in load_file(folder / "inputs.safetensors").items()}
    if kind == "linear":
        def body():
            return torch.nn.functional.linear(x["x"], x["weight"], x["bias"])
    elif kind == "attention":
        heads = int(size.split("x")[0])
        q, k, v = (x[name].reshape(x[name].shape[0], heads, -1).transpose(0, 1)[None].contiguous() for name in "qkv")

        def body():
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            return y[0].transpose(0, 1).reshape(x["q"].shape)
    elif kind == "dit":
        model = load_model(options, kind).to(dtype)

        def body():
            return model(x["latents"][None], torch.tensor([500.0]), x["text"][None]).sample[0]
    else:
        model = load_model(options, kind).to(dtype)

        def body():
            return model.decode(x["latents"][None]).sample[0]
    best = processor = float("inf")
    with torch.no_grad():
        for _ in range(options.runs):
            start, used = time.perf_counter(), time.process_time()
            output = body()
            best = min(best, time.perf_counter() - start)
            processor = min(processor, time.process_time() - used)
    save_file({"output": output.float().contiguous()}, folder / f"torch-{precision}.safetensors")
    # Not `getrusage`, which counts the program that started this one, too.
    peak = 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    print(json.dumps({"seconds": best, "processor_seconds": processor, "peak_bytes": peak}))


# Side by side


def run(command: list[str]) -> dict:
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.strip().splitlines()[-1])


def ours(options, kind: str, *more: str, runs: int | None = None) -> dict:
    return run([options.program, kind, "--threads", str(options.threads), "--runs", str(runs or options.runs), *more])


def pytorch(options, kind: str, precision: str, size: str) -> dict:
    own = [sys.executable, str(HERE / "compare.py"), "--program", options.program, "--work", str(options.work)]
    return run([*own, "--threads", str(options.threads), "--runs", str(options.runs), "--torch", kind, precision, size])


def operations(kind: str, size) -> float:
    """Multiplications and additions of one run; 0 where they are not counted."""
    if kind == "linear":
        return 2.0 * size[0] * size[1] * size[2]
    if kind == "attention":
        return 4.0 * size[0] * size[1] ** 2 * size[2]
    if kind == "dit":
        tokens, text, dim, ffn = size[0] * size[1] * size[2] // 4, 512, 1536, 8960
        linears = tokens * (6 * dim * dim + 2 * dim * ffn) + text * 2 * dim * dim
        return 4 * (2.0 * linears + 4.0 * tokens * (tokens + text) * dim) + 2.0 * text * (4096 * dim + dim * dim)
    return 0


def relative_error(a, b) -> float:
    return float((a - b).norm() / b.norm())


def reuse(options, size) -> None:
    """What is computed once for all steps or for both branches of guidance, ours alone."""
    inputs = prepare(options, "dit", size) / "inputs.safetensors"
    command = [options.program, "reuse", "--threads", str(options.threads), "--runs", str(options.runs), "--inputs", str(inputs)]
    lines = subprocess.run(
        [*command, "--model", str(options.work / "dit-model"), "--actor", str(ACTOR)], stdout=subprocess.PIPE, text=True, check=True).stdout
    print("\n| computed once | seconds | of processor time |\n| --- | --- | --- |")
    for line in map(json.loads, lines.splitlines()):
        print(f"| {line['name']} | {line['seconds']:.3f} | {line['processor_seconds']:.3f} |")


def compare(options) -> None:
    from safetensors.torch import load_file

    options.work = options.work.resolve()
    size_name = "quick" if options.quick else "full"
    peak = ours(options, "peak", runs=5)
    rates = ", ".join(f"{peak[name] / 1e9:.0f} in {name}" for name in ("f32", "bf16", "int8") if peak[name])
    print(f"{options.threads} threads; multiply-adds on registers do {rates} (billions of operations a second)")
    print("| work | precision | ours | PyTorch | ratio | ratio of processor time | ours, GFLOPS | of peak | memory, ours : PyTorch | from PyTorch | from our f32 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (kind, size) in ITEMS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        size = size or (DIT if kind == "dit" else VAE)[size_name]
        label = "x".join(map(str, size))
        folder = prepare(options, kind, size)
        exact, theirs = None, {}
        for precision in options.precision.split(","):
            if kind in ("vae", "attention") and precision == "int8":
                continue
            output = folder / f"ours-{precision}.safetensors"
            output.unlink(missing_ok=True)
            more = ["--model", str(options.work / f"{kind}-model")] if kind in ("dit", "vae") else []
            mine = ours(
                options, kind, "--precision", precision, "--inputs", str(folder / "inputs.safetensors"), "--output", str(output), *more)
            # PyTorch has no 8-bit layers like these; ours are held against its bf16.
            other = "bf16" if precision == "int8" else precision
            if other not in theirs:
                theirs[other] = pytorch(options, kind, other, label)
            own, reference = (load_file(folder / f"{side}.safetensors")["output"] for side in (f"ours-{precision}", f"torch-{other}"))
            exact = own if precision == "f32" else exact
            rate = operations(kind, size) / mine["seconds"] / 1e9
            row = [
                name, precision, f"{mine['seconds']:.2f} s", f"{theirs[other]['seconds']:.2f} s ({other})",
                f"{theirs[other]['seconds'] / mine['seconds']:.2f}",
                f"{theirs[other]['processor_seconds'] / mine['processor_seconds']:.2f}", f"{rate:.0f}" if rate else "–", f"{rate * 1e9 / (peak[precision] or peak['f32']):.0%}" if rate else "–",
                f"{mine['peak_bytes'] / 1e9:.2f} : {theirs[other]['peak_bytes'] / 1e9:.2f} GB", f"{relative_error(own, reference):.0e}",
                f"{relative_error(own, exact):.0e}" if exact is not None and precision != "f32" else "–",
            ]
            print("| " + " | ".join(row) + " |", flush=True)
    if not options.only or "reuse" in options.only:
        reuse(options, DIT[size_name])


if __name__ == "__main__":
    main()
