"""Runs random configurations of every published network in the reference implementation and in `understudy model forward`, and prints the errors.

    python Tests/Parity/compare_published.py .build/release/understudy --seeds 20

Each line is the worst output of one network over all seeds, as relative L2 error; the exit status is 1 when one exceeds the tolerance (2e-5).
`--dtype bf16` (or f16) stores the weights so and prints, beside the error of ours against the f32 result with the same weights, that of the
reference implementation running in that type: ours must not be larger, for any output. `--precision bf16` has ours compute in bf16, too.
Needs torch, diffusers, transformers and safetensors.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from published_cases import CASES, Random  # noqa: E402

warnings.filterwarnings("ignore")
transformers.utils.logging.disable_progress_bar()
animate2_mask = torch.nn.attention.flex_attention.create_block_mask


def uncompiled_mask(*args, _compile=None, **kwargs):
    return animate2_mask(*args, **kwargs)


def error(expected, actual):
    expected, actual = expected.double(), actual.double()
    if expected.shape != actual.shape:
        return float("inf")
    return float((expected - actual).norm() / expected.norm().clamp_min(1e-30))


def half(model, dtype):
    """The model as `from_pretrained(torch_dtype=…)` gives it: some parts stay in single precision."""
    kept = getattr(model, "_keep_in_fp32_modules", None) or []
    for name, p in list(model.named_parameters()) + list(model.named_buffers()):
        if p.is_floating_point() and not any(part in name.split(".") for part in kept):
            p.data = p.data.to(dtype)
    return model


def forward(understudy, model, inputs, *arguments, work=None):
    """What ours computes; files of the exchange go to `work`, the model's folder if it is not given."""
    work = work or model
    save_file({k: v.contiguous() for k, v in inputs.items()}, work / "inputs.safetensors")
    done = subprocess.run([understudy, "model", "forward", "--model", model, "--inputs", work / "inputs.safetensors", "--output",
                           work / "result.safetensors", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr + done.stdout).strip())
    return load_file(work / "result.safetensors")


def compare(understudy, make, name, seed, dtype, precision, folder):
    torch.manual_seed(seed)
    case = make(Random(f"{name}/{seed}"))
    if dtype != torch.float32:
        half(case.model, dtype)
    case.model.save_pretrained(folder)
    lower = {}
    with torch.no_grad():
        if dtype != torch.float32:
            lower = case.run(case.model, {k: v.to(dtype) if v.is_floating_point() and "timestep" not in k else v for k, v in case.inputs.items()})
            case.model.float()
        expected = case.run(case.model, case.inputs)
    # Those have no large layers that could be rounded.
    actual = forward(understudy, folder, case.inputs, "--precision", "f32" if name in ("wav2vec2", "scheduler") else precision)
    errors = {k: error(v, actual[k]) if k in actual else float("inf") for k, v in expected.items()}
    return errors, {k: error(v, lower[k]) for k, v in expected.items() if k in lower}, case.notes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("understudy", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--dtype", choices=["f32", "bf16", "f16"], default="f32")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="of our arithmetic")
    parser.add_argument("--tolerance", type=float, default=2e-5)
    options = parser.parse_args()
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[options.dtype]
    from diffusers.models.transformers import transformer_wan_animate_2
    transformer_wan_animate_2.create_block_mask = uncompiled_mask
    bad = 0
    for name, make in CASES.items():
        if options.only not in name or name == "scheduler" and options.dtype != "f32":
            continue
        worst = (0.0, "", 0.0, 0.0)
        for seed in range(options.first, options.first + options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    errors, lower, notes = compare(options.understudy.resolve(), make, name, seed, dtype, options.precision, pathlib.Path(folder))
                except RuntimeError as problem:
                    bad += 1
                    print(f"{name} seed {seed}: {problem}", flush=True)
                    continue
            # The output that is nearest to its limit, or farthest beyond it.
            limits = {k: lower.get(k) or options.tolerance for k in errors}
            output = max(errors, key=lambda k: errors[k] / limits[k])
            worst = max(worst, (errors[output] / limits[output], f"{output}, seed {seed}", errors[output], limits[output]))
            if errors[output] > limits[output]:
                bad += 1
                print(f"{name} seed {seed}: {output} is off by {errors[output]:.1e} (limit {limits[output]:.1e}) {notes}", flush=True)
        beside = f"; reference in {options.dtype}: {worst[3]:.1e}" if options.dtype != "f32" else ""
        print(f"{name:16s} {worst[2]:9.1e}  {worst[1]}{beside}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
