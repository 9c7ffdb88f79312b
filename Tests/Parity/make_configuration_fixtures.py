"""Small random configurations of the published networks for the repository's own tests.

    python Tests/Parity/make_configuration_fixtures.py Tests/Fixtures/Configurations

Each folder holds configuration, weights (bf16), inputs, and the outputs of the reference implementation in single precision with those weights.
`masked_umt5` and `masked_wav2vec2` have padding (one row of nothing else), and other activations than usual. `stored` is a text-conditioned Wan transformer in its original names, its matrices in 8-bit floats with scales, with two LoRA files beside it.
Needs torch, diffusers, transformers and safetensors.
"""
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from compare_published import uncompiled_mask  # noqa: E402
from diffusers.models.transformers import transformer_wan_animate_2  # noqa: E402
from original_names import original, original_name, restored  # noqa: E402
from published_cases import CASES, Random, randomise  # noqa: E402
from transformers import UMT5Config, UMT5EncoderModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model  # noqa: E402

#: Seeds whose cases are small and show something: patches of 2×2×2, a mask larger than the segment, odd widths, both kinds of norm.
SEEDS = {"wan_t2v": 1, "wan_animate": 20, "wan_animate_2": 20, "clip": 2, "umt5": 31, "wav2vec2": 28}


def contiguous(tensors):
    return {k: v.clone().contiguous() for k, v in tensors.items()}


def write(folder, case, outputs):
    save_file(contiguous(case.inputs), folder / "inputs.safetensors")
    save_file(contiguous(outputs), folder / "outputs.safetensors")


def configurations(root):
    for name, seed in SEEDS.items():
        torch.manual_seed(seed)
        case = CASES[name](Random(f"{name}/{seed}"))
        for p in case.model.parameters():
            p.copy_(p.bfloat16().float())
        case.model.save_pretrained(root / name)
        file = next((root / name).glob("*.safetensors"))
        save_file({k: v.bfloat16() for k, v in load_file(file).items()}, file)
        write(root / name, case, case.run(case.model, case.inputs))


def masked(root):
    torch.manual_seed(0)
    r = Random("masked")
    model = randomise(UMT5EncoderModel(UMT5Config(vocab_size=30, d_model=20, d_kv=6, d_ff=24, num_layers=2, num_heads=2)), r)
    ids, mask = torch.randint(0, 30, (2, 9)), torch.tensor([[1] * 5 + [0] * 4, [0] * 9])
    outputs = {"last_hidden_state": model(ids, attention_mask=mask).last_hidden_state}
    save(root / "masked_umt5", model, {"input_ids": ids, "attention_mask": mask}, outputs)

    model = randomise(Wav2Vec2Model(Wav2Vec2Config(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7, num_conv_pos_embeddings=6,
        num_conv_pos_embedding_groups=2, feat_extract_norm="layer", do_stable_layer_norm=True, hidden_act="quick_gelu", feat_extract_activation="relu")), r)
    wave, mask = 0.3 * r.normal(4000) + 0.1, torch.tensor([[1] * 2700 + [0] * 1300])
    out = model(wave[None], attention_mask=mask, output_hidden_states=True)
    outputs = {"input_values": wave[None], "hidden_states.1": out.hidden_states[1], "last_hidden_state": out.last_hidden_state}
    save(root / "masked_wav2vec2", model, {"waveform": wave, "attention_mask": mask}, outputs)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(root / "masked_wav2vec2")


def save(folder, model, inputs, outputs):
    model.save_pretrained(folder)
    save_file(contiguous(inputs), folder / "inputs.safetensors")
    save_file(contiguous(outputs), folder / "outputs.safetensors")


def stored(root):
    folder = root / "stored"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    r = Random("wan_t2v/17")
    case = CASES["wan_t2v"](r)
    named, tensors, meaning = original(case.model), {}, {}
    for name, value in named.items():
        if value.dim() == 2 and name.startswith("blocks"):
            kind, per_row = (torch.float8_e5m2, False) if ".ffn." in name else (torch.float8_e4m3fn, True)
            scale = (value.abs().amax(1, keepdim=True) if per_row else value.abs().max()) / torch.finfo(kind).max
            tensors[name] = (value / scale).to(kind)
            tensors[name.removesuffix(".weight") + (".weight_scale" if per_row else ".scale_weight")] = scale.clone()
            meaning[name] = tensors[name].float() * scale
        else:
            tensors[name] = value.to(torch.bfloat16 if name.endswith("bias") else torch.float16)
            meaning[name] = tensors[name].float()
    tensors["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    save_file({f"model.diffusion_model.{k}": v for k, v in contiguous(tensors).items() if k != "scaled_fp8"} | {"scaled_fp8": tensors["scaled_fp8"]},
              folder / "model.safetensors")
    (folder / "config.json").write_text(case.model.to_json_string())
    base = restored(case.model, meaning)
    case.model.load_state_dict(base)
    outputs = {"sample": case.run(case.model, case.inputs)["sample"]}
    modules = [k.removesuffix(".weight") for k in base if k.startswith("blocks.0") and base[k].dim() == 2 and k.endswith(".weight")]
    kohya, peft, state = {}, {}, {k: v.clone() for k, v in base.items()}
    for i, module in enumerate(modules):
        out, inner = base[module + ".weight"].shape
        a, b = r.normal(2, inner, std=0.3).bfloat16(), r.normal(out, 2, std=0.3).bfloat16()
        if i % 2:
            kohya |= {f"lora_unet_{original_name(module).replace('.', '_')}.{k}": v for k, v in
                      (("lora_down.weight", a), ("lora_up.weight", b), ("alpha", torch.tensor(3.0)))}
        else:
            peft |= {f"transformer.{module}.lora_A.weight": a, f"transformer.{module}.lora_B.weight": b}
        state[module + ".weight"] += (0.8 * 3 / 2 if i % 2 else -0.5) * (b.float() @ a.float())
    bias = r.normal(base["proj_out.bias"].shape[0])
    kohya["diffusion_model.head.head.diff_b"] = bias
    state["proj_out.bias"] += 0.8 * bias
    save_file(contiguous(kohya), folder / "kohya.lora")
    save_file(contiguous(peft), folder / "peft.lora")
    case.model.load_state_dict(state)
    outputs["sample_with_adapters"] = case.run(case.model, case.inputs)["sample"]
    case.inputs.pop("timestep_per_token")
    write(folder, case, outputs)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    transformer_wan_animate_2.create_block_mask = uncompiled_mask
    with torch.no_grad():
        configurations(target)
        masked(target)
        stored(target)
