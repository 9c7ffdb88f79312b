"""Compares what `understudy model forward` makes of stored forms of Wan's networks with the reference implementation on the same numbers:

- the original checkpoints' names, in a single file without configuration, with a program's prefix, and with the original's configuration;
- 8-bit floats with one scale or one per row, in the names of both kinds of program;
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
from published_cases import CASES, Random  # noqa: E402

INNER = {"attn1": "self_attn", "attn2": "cross_attn", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o", "add_k_proj": "k_img", "add_v_proj": "v_img",
         "norm_added_k": "norm_k_img", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2", "norm2": "norm3", "scale_shift_table": "modulation"}
OUTER = {"condition_embedder.text_embedder.linear_1": "text_embedding.0", "condition_embedder.text_embedder.linear_2": "text_embedding.2",
         "condition_embedder.time_embedder.linear_1": "time_embedding.0", "condition_embedder.time_embedder.linear_2": "time_embedding.2",
         "condition_embedder.time_proj": "time_projection.1", "proj_out": "head.head", "scale_shift_table": "head.modulation",
         "condition_embedder.image_embedder.norm1": "img_emb.proj.0", "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
         "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3", "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
         "condition_embedder.image_embedder.pos_embed": "img_emb.emb_pos", "face_encoder.conv1_local": "face_encoder.conv1_local.conv",
         "face_encoder.conv2": "face_encoder.conv2.conv", "face_encoder.conv3": "face_encoder.conv3.conv",
         "motion_encoder.motion_synthesis_weight": "motion_encoder.dec.direction.weight", "motion_encoder.conv_in.weight": "motion_encoder.enc.net_app.convs.0.0.weight",
         "motion_encoder.conv_in.act_fn.bias": "motion_encoder.enc.net_app.convs.0.1.bias", "motion_encoder.motion_network": "motion_encoder.enc.fc"}
MOTION = {"conv1.weight": "conv1.0.weight", "conv1.act_fn.bias": "conv1.1.bias", "conv2.weight": "conv2.1.weight", "conv2.act_fn.bias": "conv2.2.bias",
          "conv_skip.weight": "skip.1.weight"}
FACE = {"to_q": "linear1_q", "to_out": "linear2", "norm_q": "q_norm", "norm_k": "k_norm"}


def original_name(name, motion_blocks=0):
    if m := re.fullmatch(r"(blocks\.\d+)\.(.*)", name):
        inner = m[2]
        for new, old in INNER.items():
            inner = re.sub(rf"(^|\.){re.escape(new)}(?=\.|$)", rf"\g<1>{old}", inner)
        return f"{m[1]}.{inner}"
    if m := re.fullmatch(r"face_adapter\.(\d+)\.(\w+)\.(\w+)", name):
        return f"face_adapter.fuser_blocks.{m[1]}.{FACE[m[2]]}.{m[3]}"
    if m := re.fullmatch(r"motion_encoder\.res_blocks\.(\d+)\.(.*)", name):
        return f"motion_encoder.enc.net_app.convs.{int(m[1]) + 1}.{MOTION[m[2]]}"
    if name == "motion_encoder.conv_out.weight":
        return f"motion_encoder.enc.net_app.convs.{motion_blocks + 1}.weight"
    for new, old in OUTER.items():
        if name == new or name.startswith(new + "."):
            return old + name[len(new):]
    return name


def original(model):
    """The weights as an original checkpoint holds them."""
    state = dict(model.state_dict())
    blocks = len(getattr(getattr(model, "motion_encoder", None), "res_blocks", []))
    result = {}
    for name in list(state):
        if ".to_k." in name and name.startswith("face_adapter"):
            result[f"face_adapter.fuser_blocks.{name.split('.')[1]}.linear1_kv.{name.split('.')[-1]}"] = torch.cat(
                [state.pop(name), state.pop(name.replace("to_k", "to_v"))])
    for name, value in state.items():
        if name in ("face_adapter",) or ".to_v." in name and name.startswith("face_adapter"):
            continue
        if name.startswith("motion_encoder") and name.endswith("act_fn.bias"):
            value = value.view(1, -1, 1, 1)
        result[original_name(name, blocks)] = value
    if blocks in (0, 7):  # the sizes that the reference's own conversion knows
        back = single.convert_wan_transformer_to_diffusers(dict(result))
        own = model.state_dict()
        back["condition_embedder.image_embedder.pos_embed"] = back.pop("img_emb.emb_pos", None)  # the only name that it leaves
        back = {k: v for k, v in back.items() if v is not None}
        assert set(back) == set(own), set(back) ^ set(own)
        assert all(torch.equal(back[k].reshape(own[k].shape), own[k]) for k in own)
    return result


def in_block(rest):
    """Names inside a residual block of the original autoencoders."""
    parts = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6", "conv_shortcut": "shortcut"}
    head, _, tail = rest.partition(".")
    return f"{parts.get(head, head)}.{tail}"


def original_vae_name(name, blocks, residual):
    """The name in Wan2.1_VAE or, residual, Wan2.2_VAE; `blocks` residual blocks per level of the encoder."""
    if m := re.fullmatch(r"(post_)?quant_conv\.(\w+)", name):
        return f"conv{2 if m[1] else 1}.{m[2]}"
    half, _, rest = name.partition(".")
    if m := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", rest):
        return f"{half}.middle.1.{m[3]}" if m[1] == "attentions" else f"{half}.middle.{2 * int(m[2])}.{in_block(m[3])}"
    for own, old in {"conv_in": "conv1", "norm_out": "head.0", "conv_out": "head.2"}.items():
        if rest.startswith(own + "."):
            return f"{half}.{old}{rest[len(own):]}"
    if m := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets\.(\d+)|(?:up|down)samplers?(?:\.0)?)\.(.*)", rest):
        per_level = blocks if m[1] == "down" else blocks + 1
        part = int(m[4]) if m[4] else per_level
        if residual:
            return f"{half}.{m[1]}samples.{m[2]}.{m[1]}samples.{part}.{in_block(m[5])}"
        return f"{half}.upsamples.{int(m[2]) * (per_level + 1) + part}.{in_block(m[5])}"
    m = re.fullmatch(r"down_blocks\.(\d+)\.(.*)", rest)
    return f"{half}.downsamples.{m[1]}.{in_block(m[2])}"


UMT5_LAYER = {"0.layer_norm": "norm1", "0.SelfAttention.q": "attn.q", "0.SelfAttention.k": "attn.k", "0.SelfAttention.v": "attn.v",
              "0.SelfAttention.o": "attn.o", "0.SelfAttention.relative_attention_bias": "pos_embedding.embedding", "1.layer_norm": "norm2",
              "1.DenseReluDense.wi_0": "ffn.gate.0", "1.DenseReluDense.wi_1": "ffn.fc1", "1.DenseReluDense.wo": "ffn.fc2"}


def original_umt5_name(name):
    if m := re.fullmatch(r"encoder\.block\.(\d+)\.layer\.(.*)\.weight", name):
        return f"blocks.{m[1]}.{UMT5_LAYER[m[2]]}.weight"
    return {"shared.weight": "token_embedding.weight", "encoder.final_layer_norm.weight": "norm.weight"}[name]


CLIP_PARTS = {"embeddings.class_embedding": "cls_embedding", "embeddings.position_embedding.weight": "pos_embedding", "embeddings.patch_embedding": "patch_embedding",
              "pre_layrnorm": "pre_norm", "post_layernorm": "post_norm", "encoder.layers": "transformer", "layer_norm": "norm", "self_attn.out_proj": "attn.proj",
              "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.2"}


def original_clip(model):
    state, result = dict(model.state_dict()), {}
    for name, value in state.items():
        name = name.removeprefix("vision_model.")
        if name.endswith("position_ids") or name.startswith("visual_projection"):
            continue
        if m := re.fullmatch(r"(.*)\.self_attn\.(q|k|v)_proj\.(\w+)", name):
            if m[2] != "q":
                continue
            name = f"{m[1]}.attn.to_qkv.{m[3]}"
            value = torch.cat([v for part in "qkv" for k, v in state.items() if k.endswith(f"{m[1]}.self_attn.{part}_proj.{m[3]}")])
        for own, old in CLIP_PARTS.items():
            name = name.replace(own, old)
        if name in ("cls_embedding", "pos_embedding"):
            value = value.reshape(1, -1, value.shape[-1])
        result["visual." + name] = value
    result["visual.head"] = torch.ones(3, 2)
    return result | {"log_scale": torch.zeros(())}


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


def quantised(state, dtype, per_row, suffix):
    """Matrices in 8 bits with scales; returns the file's tensors and what they stand for."""
    stored, meaning = {}, {}
    for name, value in state.items():
        if value.dim() == 2 and name.endswith(".weight") and ("blocks" in name):
            peak = value.abs().amax(1) if per_row else value.abs().max()
            scale = (peak / torch.finfo(dtype).max).clamp_min(1e-12)
            factor = scale.view(-1, 1) if per_row else scale
            stored[name] = (value / factor).to(dtype)
            stored[name.removesuffix(".weight") + suffix] = (scale.view(-1, 1) if per_row else scale.clone()).float()
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
        for per_row, suffix in ((False, ".scale_weight"), (True, ".weight_scale")):
            for name in ("wan_i2v", "wan_animate"):
                case = CASES[name](Random(f"fp8/{name}"))
                folder = c.folder / f"{name}{dtype}{per_row}".replace(".", "_")
                folder.mkdir()
                stored, meaning = quantised(original(case.model) if per_row else case.model.state_dict(), dtype, per_row, suffix)
                stored["scaled_fp8"] = torch.zeros(2, dtype=dtype)
                save_file({k: v.clone().contiguous() for k, v in stored.items()}, folder / "model.safetensors")
                (folder / "config.json").write_text(case.model.to_json_string())
                case.model.load_state_dict(restored(case.model, meaning) if per_row else meaning)
                c.check(f"{name}, {str(dtype).removeprefix('torch.')}, scale per {'row' if per_row else 'tensor'}", case,
                        case.run(case.model, case.inputs), folder)


def restored(model, named):
    """Original names back to the model's, by value of the names alone."""
    blocks = len(getattr(getattr(model, "motion_encoder", None), "res_blocks", []))
    state = {}
    for name, value in model.state_dict().items():
        if m := re.fullmatch(r"face_adapter\.(\d+)\.(to_k|to_v)\.(\w+)", name):
            halves = named[f"face_adapter.fuser_blocks.{m[1]}.linear1_kv.{m[3]}"].chunk(2)
            state[name] = halves[m[2] == "to_v"]
        else:
            state[name] = named[original_name(name, blocks)].reshape(value.shape)
    return state


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
