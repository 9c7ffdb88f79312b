"""Compares what `understudy model forward` makes of stored forms of Wan's networks with the reference implementation on the same numbers:

- the original checkpoints' names, in a single file without configuration, with a program's prefix, and with the original's configuration;
- 8-bit floats with one scale, one per row, block or group (powers of two), in the names of three kinds of program;
- LoRA in the styles of diffusers and PEFT, kohya, original names, with differences of weights and biases, one or two at once.

    python Tests/Parity/compare_stored.py .build/release/understudy

Prints the relative L2 error of each; the exit status is 1 when one exceeds 2e-5. Needs torch, diffusers, peft and safetensors.
"""
import json
import pathlib
import re
import sys
import tempfile

import torch
from diffusers import AutoencoderKLWan
from diffusers.loaders import single_file_utils as single
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from compare_published import error, forward  # noqa: E402
from original_names import original, original_clip, original_name, original_umt5_name, original_vae_name, restored  # noqa: E402
from published_cases import CASES, Random  # noqa: E402


def encoders(c):
    """Autoencoders, text and image encoders in original names and without configuration, of the sizes that files without one are taken to have."""
    import published_cases as cases
    for residual in (False, True):
        title = f"vae 2.{2 if residual else 1}"
        r = Random(f"stored/vae/{residual}")
        settings = dict(dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True], z_dim=48 if residual else 16)
        if residual:
            settings |= WAN22_LATENTS
        kept = cases.AutoencoderKLWan
        cases.AutoencoderKLWan = lambda **sizes: AutoencoderKLWan(**{k: v for k, v in sizes.items() if not k.startswith("latents_")} | settings)
        try:
            case = CASES["vae_22" if residual else "vae_21"](r)
        finally:
            cases.AutoencoderKLWan = kept
        z = settings["z_dim"]
        case.inputs["latents_standardised"] = r.normal(1, z, 3, 4, 5)
        expected = vae_outputs(case)
        state = {original_vae_name(k, 2, residual): v for k, v in case.model.state_dict().items()}
        if not residual:
            back = single.convert_wan_vae_to_diffusers(dict(state))
            assert all(torch.equal(v, back[k]) for k, v in case.model.state_dict().items()) and len(back) == len(case.model.state_dict())
        path = c.folder / f"vae-{residual}.safetensors"
        for prefix in ("", "model."):
            save_file({prefix + k: v.clone().contiguous() for k, v in state.items()}, path)
            c.check(f"{title}, original names{', prefix' if prefix else ''}, no configuration", case, expected, path)
        save_file({k: v.clone().contiguous() for k, v in case.model.state_dict().items()}, path)
        c.check(f"{title}, names of diffusers, no configuration", case, expected, path)
    r, base = Random("stored/umt5"), CASES["umt5"](Random("stored/umt5"))
    model = cases.randomise(UMT5EncoderModel(UMT5Config(vocab_size=210, d_model=36, d_kv=10, d_ff=70, num_layers=3, num_heads=3)), r)
    case = cases.Case(model, base.inputs, base.run)
    expected = case.run(model, case.inputs)
    path = c.folder / "umt5.safetensors"
    state = {k: v for k, v in case.model.state_dict().items() if k != "encoder.embed_tokens.weight"}
    for title, names in (("original names", {original_umt5_name(k): v for k, v in state.items()}), ("names of transformers", state)):
        save_file({k: v.clone().contiguous() for k, v in names.items()} | {"spiece_model": torch.zeros(9, dtype=torch.uint8)}, path)
        c.check(f"umt5, {title}, no configuration", case, expected, path)
    r = Random("stored/clip")
    model = cases.randomise(CLIPVisionModel(CLIPVisionConfig(
        hidden_size=160, intermediate_size=90, num_hidden_layers=3, num_attention_heads=2, image_size=42, patch_size=14, hidden_act="gelu")), r)
    case = cases.Case(model, {"pixel_values": r.normal(2, 3, 42, 42)}, None)
    out = model(pixel_values=case.inputs["pixel_values"], output_hidden_states=True)
    expected = {"penultimate_hidden_state": out.hidden_states[-2], "last_hidden_state": out.last_hidden_state, "pooler_output": out.pooler_output}
    path = c.folder / "clip.safetensors"
    for title, names in (("original names", original_clip(model)), ("names of transformers", model.state_dict())):
        save_file({k: v.clone().contiguous() for k, v in names.items()}, path)
        c.check(f"clip, {title}, no configuration", case, expected, path)


#: As Wan2.2-TI2V-5B-Diffusers has them in vae/config.json.
WAN22_LATENTS = {
    "latents_mean": [
        -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375,
        -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899,
        -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573,
        -0.0548, -0.1681, -0.0667],
    "latents_std": [
        0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978,
        0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093,
        0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744],
}


def vae_outputs(case):
    """As published_cases.vae computes them, with the model's own mean and deviation."""
    c, x, model = case.model.config, case.inputs, case.model
    mean, std = (torch.tensor(v).view(1, c.z_dim, 1, 1, 1) for v in (c.latents_mean, c.latents_std))
    raw = x["latents_standardised"] * std + mean
    video, image = model.encode(x["video"]).latent_dist, model.encode(x["image"]).latent_dist
    return {"video_mean": video.mean, "video_logvar": video.logvar, "video_standardised": (video.mean - mean) / std, "image_mean": image.mean,
            "decoded": model.decode(raw).sample}


def published_width(r, make, **changes):
    """A case whose heads are 128 wide, as files without configuration are taken to have."""
    import published_cases as cases
    kept = {}
    for name in ("WanTransformer3DModel", "WanAnimateTransformer3DModel"):
        cls = getattr(cases, name)
        kept[name] = cls
        setattr(cases, name, lambda cls=cls, **c: cls(**(c | dict(num_attention_heads=1, attention_head_dim=128) | ({"added_kv_proj_dim": 128} if "added_kv_proj_dim" in c else {})
                                                                            | {"eps": 1e-6} | changes)))
    try:
        return make(r)
    finally:
        for name, cls in kept.items():
            setattr(cases, name, cls)


def quantised(state, dtype, kind, suffix, block=(128, 128)):
    """Matrices in 8 bits with scales per tensor, row, block, or group of a row's columns, the latter powers of two (MX); returns the file's tensors and
    what they stand for."""
    stored, meaning = {}, {}
    for name, value in state.items():
        if value.dim() == 2 and name.endswith(".weight") and ("blocks" in name):
            rows, columns = value.shape
            group = next(n for n in (32, 16, 8, 4, 2, 1) if columns % n == 0)
            height, width = {"tensor": (rows, columns), "row": (1, columns), "block": block}.get(kind, (1, group))
            down, across = -(-rows // height), -(-columns // width)
            padded = torch.zeros(down * height, across * width)
            padded[:rows, :columns] = value.abs()
            scale = (padded.view(down, height, across, width).amax((1, 3)) / torch.finfo(dtype).max).clamp_min(1e-12)
            if kind.startswith("group"):
                scale = scale.log2().ceil().exp2()
            factor = scale.repeat_interleave(height, 0).repeat_interleave(width, 1)[:rows, :columns]
            stored[name] = (value / factor).to(dtype)
            saved = scale.view(()) if kind == "tensor" else scale.float()
            if kind.startswith("group"):
                saved = saved.to(torch.float8_e8m0fnu)
                saved = saved.view(torch.uint8) if kind.endswith("bytes") else saved
            stored[name.removesuffix(".weight") + suffix] = saved
            meaning[name] = stored[name].float() * factor
        else:
            stored[name] = meaning[name] = value
    return stored, meaning


class Comparison:
    def __init__(self, understudy, folder):
        self.understudy, self.folder, self.bad = understudy, folder, 0

    def check(self, title, case, expected, target, loras=()):
        arguments = [a for path, weight in loras for a in ("--lora", f"{path}={weight}")]
        try:
            actual = forward(self.understudy, target, case.inputs, *arguments, work=self.folder)
            worst = max(error(v, actual[k]) for k, v in expected.items())
        except RuntimeError as problem:
            worst = float("inf")
            print(problem)
        self.bad += worst > 2e-5
        print(f"{title:58s} {worst:9.1e}", flush=True)


def originals(c):
    for name in ("wan_t2v", "wan_i2v", "wan_animate"):
        changes = {"motion_encoder_size": 512, "motion_encoder_channel_sizes": {str(4 << i): 6 for i in range(8)}} if name == "wan_animate" else {}
        r = Random(f"stored/{name}")
        case = published_width(r, CASES[name], **changes)
        if "face_pixel_values" in case.inputs:
            batch, _, frames = case.inputs["face_pixel_values"].shape[:3]
            case.inputs["face_pixel_values"] = torch.stack([r.waves(3, frames, 512, 512) for _ in range(batch)])
        expected = case.run(case.model, case.inputs)
        for prefix in ("", "model.diffusion_model."):
            path = c.folder / "original.safetensors"
            save_file({prefix + k: v.clone().contiguous() for k, v in original(case.model).items()}, path)
            c.check(f"{name}, original names{', prefix' if prefix else ''}, no configuration", case, expected, path)
        folder = c.folder / f"original-{name}"
        folder.mkdir()
        save_file({k: v.clone().contiguous() for k, v in original(case.model).items()}, folder / "diffusion_pytorch_model.safetensors")
        (folder / "config.json").write_text(json.dumps({
            "_class_name": "WanAnimateModel" if name == "wan_animate" else "WanModel", "dim": 128, "eps": 1e-6, "num_heads": 1, "qk_norm": True,
            "window_size": [-1, -1], "model_type": "i2v"}))
        c.check(f"{name}, original names and configuration", case, expected, folder)
    case = CASES["wan_animate_2"](Random("stored/animate-2"))
    state = {}
    for k, v in case.model.state_dict().items():
        k = re.sub(r"^(blocks\.\d+)\.", r"\1.block.", k)
        for new, old in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o"), ("add_k_proj", "k_img"), ("add_v_proj", "v_img"), ("norm_added_k", "norm_k_img")):
            k = k.replace(f".{new}.", f".{old}.")
        state[k] = v
    assert set(single.convert_wan_animate_2_transformer_to_diffusers(dict(state))) == set(case.model.state_dict())
    folder = c.folder / "animate2"
    folder.mkdir()
    save_file({k: v.clone().contiguous() for k, v in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(case.model.to_json_string())
    c.check("wan_animate_2, original names", case, case.run(case.model, case.inputs), folder)


def eight_bits(c):
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        for kind, suffix in (("tensor", ".scale_weight"), ("row", ".weight_scale"), ("block", ".weight_scale_inv"), ("group", ".weight_scale"), ("group, in bytes", ".weight_scale")):
            for name in ("wan_i2v", "wan_animate"):
                case = CASES[name](Random(f"fp8/{name}"))
                folder = c.folder / re.sub(r"\W", "_", f"{name}{dtype}{kind}")
                folder.mkdir()
                # Blocks of a size that leaves a rest of most matrices, which the configuration names.
                block = (24, 40)
                named = case.model.state_dict() if kind == "tensor" else original(case.model)
                stored, meaning = quantised(named, dtype, kind, suffix, block)
                stored["scaled_fp8"] = torch.zeros(2, dtype=dtype)
                save_file({k: v.clone().contiguous() for k, v in stored.items()}, folder / "model.safetensors")
                configuration = json.loads(case.model.to_json_string())
                if kind == "block":
                    configuration["quantization_config"] = {"quant_method": "fp8", "weight_block_size": block}
                (folder / "config.json").write_text(json.dumps(configuration))
                case.model.load_state_dict(meaning if kind == "tensor" else restored(case.model, meaning))
                c.check(f"{name}, {str(dtype).removeprefix('torch.')}, scale per {kind}", case, case.run(case.model, case.inputs), folder)


def loras(c):
    for name in ("wan_t2v", "wan_i2v", "wan_animate"):
        r = Random(f"lora/{name}")
        case = CASES[name](r)
        folder = c.folder / f"lora-{name}"
        case.model.save_pretrained(folder)
        base = {k: v.clone() for k, v in case.model.state_dict().items()}
        modules = [k.removesuffix(".weight") for k, v in base.items() if k.endswith(".weight") and v.dim() == 2 and k.startswith(("blocks", "condition_embedder.t", "proj_out"))]
        pairs = {m: (r.normal(3, base[m + ".weight"].shape[1], std=0.2), r.normal(base[m + ".weight"].shape[0], 3, std=0.2)) for m in modules}

        def merged(factor, differences=(), biases=()):
            state = {k: v.clone() for k, v in base.items()}
            for m, (a, b) in pairs.items():
                state[m + ".weight"] += factor * (b @ a)
            for k, v, f in differences:
                state[k] += f * v
            case.model.load_state_dict(state)
            return case.run(case.model, case.inputs)

        def write(label, tensors, metadata=None):
            path = c.folder / f"{name}-{label}.safetensors"
            save_file({k: v.clone().contiguous() for k, v in tensors.items()}, path, metadata)
            return path
        peft = write("peft", {f"transformer.{m}.lora_{x}.weight": v for m, p in pairs.items() for x, v in zip("AB", p)})
        c.check(f"{name}, LoRA of diffusers, weight 0.7", case, merged(0.7), folder, [(peft, 0.7)])
        kohya = {}
        for m, (a, b) in pairs.items():
            key = "lora_unet_" + original_name(m).replace(".", "_")
            kohya |= {f"{key}.lora_down.weight": a.half().float(), f"{key}.lora_up.weight": b, f"{key}.alpha": torch.tensor(6.0)}
        pairs = {m: (a.half().float(), b) for m, (a, b) in pairs.items()}
        path = write("kohya", kohya)
        c.check(f"{name}, LoRA of kohya, alpha 6 at rank 3", case, merged(2.0), folder, [(path, 1)])
        bias, difference = r.normal(base[modules[0] + ".bias"].shape[0]), r.normal(*base[modules[1] + ".weight"].shape, std=0.1)
        norm = next((k for k in base if k.startswith("blocks.0") and k.endswith("norm_q.weight")))
        shift = r.normal(*base[norm].shape, std=0.1)
        tensors = {f"diffusion_model.{original_name(m)}.lora_{x}.weight": v.bfloat16() for m, p in pairs.items() for x, v in zip(("down", "up"), p)}
        tensors |= {f"diffusion_model.{original_name(modules[0])}.diff_b": bias, f"diffusion_model.{original_name(modules[1])}.diff": difference,
                    f"diffusion_model.{original_name(norm.removesuffix('.weight'))}.diff": shift}
        pairs = {m: (a.bfloat16().float(), b.bfloat16().float()) for m, (a, b) in pairs.items()}
        both = write("original", tensors)
        differences = [(modules[0] + ".bias", bias, 0.5), (modules[1] + ".weight", difference, 0.5), (norm, shift, 0.5)]
        c.check(f"{name}, LoRA in original names, diff and diff_b", case, merged(0.5, differences), folder, [(both, 0.5)])
        first, second = dict(list(tensors.items())[:4]), {k: v for k, v in tensors.items() if "lora_" in k}
        one = write("first", {k: v for k, v in first.items() if "lora_" in k})
        two = write("second", second)
        some = {re.sub(r"^diffusion_model\.(.*)\.lora_\w+\.weight$", r"\1", k) for k in first if "lora_" in k}
        extra = [(m + ".weight", b @ a, 1.0) for m, (a, b) in pairs.items() if original_name(m) in some]
        c.check(f"{name}, two LoRAs", case, merged(-0.3, extra), folder, [(one, 1), (two, -0.3)])
        case.model.load_state_dict(base)
        case.model.add_adapter(LoraConfig(r=4, lora_alpha=10, target_modules=["to_q", "to_v", "ffn.net.2"], init_lora_weights=False))
        case.model.save_lora_adapter(c.folder / f"{name}-saved")
        expected = case.run(case.model, case.inputs)
        c.check(f"{name}, LoRA as diffusers saves it, alpha 10 at rank 4", case, expected, folder,
                [(c.folder / f"{name}-saved" / "pytorch_lora_weights.safetensors", 1)])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.manual_seed(0)
    from compare_published import uncompiled_mask
    from diffusers.models.transformers import transformer_wan_animate_2
    transformer_wan_animate_2.create_block_mask = uncompiled_mask
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        comparison = Comparison(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(folder))
        originals(comparison)
        encoders(comparison)
        eight_bits(comparison)
        loras(comparison)
    return 1 if comparison.bad else 0


if __name__ == "__main__":
    sys.exit(main())
