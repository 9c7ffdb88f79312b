"""Whole Wan pipelines of tiny random networks: fixtures for Tests/WanPipelineTests, and a comparison on other seeds.

    python Tests/Parity/pipelines.py make Tests/Fixtures/Published                       # seed 0
    python Tests/Parity/pipelines.py compare .build/release/understudy --first 1 --seeds 3

`make` writes one folder per pipeline: the pipeline as published, inputs.safetensors (prompt embeddings, noise, pictures), outputs.safetensors
(latents and frames) and graph.json (how `understudy run` is called on it). `compare` runs ours on such folders of other seeds and prints the
relative L2 error of the latents, and the largest difference of frames in grey levels (0.5 is rounding to bytes); the exit status is 1 when one
exceeds 2e-5 or 0.51. Needs torch, diffusers, transformers and safetensors.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import PIL.Image
import torch
from diffusers import (AutoencoderKLWan, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler,
                       WanAnimate2Transformer3DModel, WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel)
from diffusers.models.transformers import transformer_wan_animate_2
from diffusers.modular_pipelines.wan_animate_2 import denoise as animate_2_denoise
from diffusers.modular_pipelines.wan_animate_2.modular_blocks_wan_animate_2 import WanAnimate2Blocks
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from compare_published import uncompiled_mask  # noqa: E402
from published_cases import Random, randomise  # noqa: E402

warnings.filterwarnings("ignore")
transformer_wan_animate_2.create_block_mask = uncompiled_mask


def pictures(r, frames, height, width):
    x = r.waves(3, frames, height, width) * 0.45 + 0.5
    return (x * 255).round().to(torch.uint8).permute(1, 2, 3, 0).contiguous()


def pil(x):
    return [PIL.Image.fromarray(np.asarray(frame)) for frame in x]


def autoencoder(r, z, residual=False):
    c = dict(base_dim=4, z_dim=z, dim_mult=[1, 2, 2, 2], num_res_blocks=1, temperal_downsample=[False, True, True],
             latents_mean=[r.uniform(-0.4, 0.4) for _ in range(z)], latents_std=[r.uniform(0.8, 1.6) for _ in range(z)])
    if residual:
        c |= dict(is_residual=True, in_channels=12, out_channels=12, patch_size=2, scale_factor_temporal=4, scale_factor_spatial=16,
                  decoder_base_dim=4)
    return randomise(AutoencoderKLWan(**c), r)


def transformer(r, z, channels, image=None, **more):
    heads, width = r.choice([1, 2]), 2 * r.randint(6, 8)
    c = dict(num_attention_heads=heads, attention_head_dim=width, in_channels=channels, out_channels=z, text_dim=12, freq_dim=16, ffn_dim=40,
             num_layers=2, **more)
    if image:
        c |= dict(image_dim=image, added_kv_proj_dim=heads * width)
    return randomise(WanTransformer3DModel(**c), r)


def clip(r, width, size=28):
    c = CLIPVisionConfig(hidden_size=width, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=size,
                         patch_size=size // (2 if size < 100 else 4), hidden_act="gelu")
    return randomise(CLIPVisionModel(c), r), CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})


def unipc(shift):
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)


class Pipeline:
    """What a case consists of."""

    def __init__(self, save, inputs, run, graph, overlays, settings, files):
        self.save, self.inputs, self.run = save, inputs, run
        self.call = {"graph": graph, "overlays": overlays, "settings": settings, "inputs": files}


def texts(r, negative=True):
    names = ["prompt_embeds"] + (["negative_prompt_embeds"] if negative else [])
    return {name: r.normal(1, 512, 12) for name in names}


def call(pipe, x, **more):
    """Runs a pipeline; latents first, then what the decoder makes of them."""
    pipe.set_progress_bar_config(disable=True)
    latents = []

    def watch(model, latent, **kwargs):
        latents.append(latent)
        return decode(latent, **kwargs)

    decode, pipe.vae.decode = pipe.vae.decode, lambda latent, **kwargs: watch(pipe.vae, latent, **kwargs)
    try:
        frames = pipe(prompt_embeds=x["prompt_embeds"], negative_prompt_embeds=x.get("negative_prompt_embeds"), latents=x["noise"][0].clone(),
                      output_type="pt", **more).frames
    finally:
        del pipe.vae.decode
    c = pipe.vae.config
    shape = (1, c.z_dim, 1, 1, 1)
    return {"latents": (latents[0] - torch.tensor(c.latents_mean).view(shape)) / torch.tensor(c.latents_std).view(shape), "frames": frames}


def text_to_video(r):
    """Two networks: one for high noise, one for low."""
    z, frames, height, width, steps = 4, 9, 32, 48, 5
    vae = autoencoder(r, z)
    pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=vae, scheduler=unipc(r.choice([3.0, 5.0])), transformer=transformer(r, z, z),
                       transformer_2=transformer(r, z, z), boundary_ratio=r.choice([0.875, 0.9]))
    inputs = texts(r) | {"noise": r.normal(1, 1, z, 1 + (frames - 1) // 4, height // 8, width // 8)}
    scale, low = r.choice([3.0, 4.0]), r.choice([1.5, 3.0])

    def run(x):
        return call(pipe, x, height=height, width=width, num_frames=frames, num_inference_steps=steps, guidance_scale=scale, guidance_scale_2=low)
    return Pipeline(pipe.save_pretrained, inputs, run, "wan-video", ["tensors"],
                    [f"animate.with.size={width}x{height}", f"animate.with.frames={frames}", f"animate.with.steps={steps}",
                     f"animate.with.guidance.prompt={scale}", f"animate.with.guidance.lowNoise={low}"], ["tensors"])


def image_to_video(r, last=False):
    """Mask and latent of the picture as further channels, and CLIP's tokens of it; with `last`, of two pictures."""
    z, frames, height, width, steps, image = 4, 9, 48, 32, 4, 12
    vae = autoencoder(r, z)
    encoder, processor = clip(r, image)
    tokens = (28 // 14) ** 2 + 1
    network = transformer(r, z, 2 * z + 4, image, **({"pos_embed_seq_len": 2 * tokens} if last else {}))
    euler = r.maybe()
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0) if euler else unipc(3.0)
    pipe = WanImageToVideoPipeline(tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler, image_processor=processor,
                                   image_encoder=encoder, transformer=network)
    inputs = texts(r) | {"noise": r.normal(1, 1, z, 1 + (frames - 1) // 4, height // 8, width // 8), "image": pictures(r, 1, 60, 44)[0]}
    if last:
        inputs["last_image"] = pictures(r, 1, 50, 70)[0]

    def run(x):
        more = {"last_image": pil(x["last_image"][None])[0]} if last else {}
        return call(pipe, x, image=pil(x["image"][None])[0], height=height, width=width, num_frames=frames, num_inference_steps=steps,
                    guidance_scale=2.5, **more)
    return Pipeline(pipe.save_pretrained, inputs, run, "wan-video", ["image", "clip"] + (["last"] if last else []) + ["tensors"],
                    [f"begin.with.size={width}x{height}", f"animate.with.frames={frames}", f"animate.with.steps={steps}",
                     "animate.with.guidance.prompt=2.5"] + (["clip.in.last=last_picture.image"] if last else []), ["picture", "tensors"] + (["end"] if last else []))


def first_last(r):
    return image_to_video(r, last=True)


def two_networks_from_picture(r):
    """As Wan 2.2 I2V: mask and latent as channels, two networks, no CLIP; a last picture too."""
    z, frames, height, width, steps = 4, 5, 32, 32, 4
    pipe = WanImageToVideoPipeline(tokenizer=None, text_encoder=None, vae=autoencoder(r, z), scheduler=unipc(5.0),
                                   transformer=transformer(r, z, 2 * z + 4), transformer_2=transformer(r, z, 2 * z + 4), boundary_ratio=0.9)
    inputs = texts(r) | {"noise": r.normal(1, 1, z, 2, height // 8, width // 8), "image": pictures(r, 1, 32, 32)[0],
                         "last_image": pictures(r, 1, 32, 32)[0]}

    def run(x):
        return call(pipe, x, image=pil(x["image"][None])[0], last_image=pil(x["last_image"][None])[0], height=height, width=width,
                    num_frames=frames, num_inference_steps=steps, guidance_scale=3.5)
    return Pipeline(pipe.save_pretrained, inputs, run, "wan-video", ["image", "last", "tensors"],
                    [f"begin.with.size={width}x{height}", f"animate.with.frames={frames}", f"animate.with.steps={steps}",
                     "animate.with.guidance.prompt=3.5"], ["picture", "end", "tensors"])


def expanded_timesteps(r):
    """As Wan 2.2 TI2V: the residual autoencoder, and a picture that is the first latent frame, at timestep 0."""
    z, frames, height, width, steps = 6, 9, 64, 96, 4
    pipe = WanImageToVideoPipeline(tokenizer=None, text_encoder=None, vae=autoencoder(r, z, residual=True), scheduler=unipc(5.0),
                                   transformer=transformer(r, z, z), expand_timesteps=True)
    inputs = texts(r) | {"noise": r.normal(1, 1, z, 1 + (frames - 1) // 4, height // 16, width // 16), "image": pictures(r, 1, 64, 96)[0]}

    def run(x):
        return call(pipe, x, image=pil(x["image"][None])[0], height=height, width=width, num_frames=frames, num_inference_steps=steps,
                    guidance_scale=3.0)
    return Pipeline(pipe.save_pretrained, inputs, run, "wan-video", ["image", "tensors"],
                    [f"begin.with.size={width}x{height}", f"animate.with.frames={frames}", f"animate.with.steps={steps}",
                     "animate.with.guidance.prompt=3"], ["picture", "tensors"])


def expanded_timesteps_text(r):
    """Wan 2.2 TI2V of a prompt alone."""
    z, frames, height, width, steps = 6, 5, 32, 64, 3
    pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=autoencoder(r, z, residual=True), scheduler=unipc(5.0),
                       transformer=transformer(r, z, z), expand_timesteps=True)
    inputs = texts(r) | {"noise": r.normal(1, 1, z, 2, height // 16, width // 16)}

    def run(x):
        return call(pipe, x, height=height, width=width, num_frames=frames, num_inference_steps=steps, guidance_scale=3.0)
    return Pipeline(pipe.save_pretrained, inputs, run, "wan-video", ["tensors"],
                    [f"animate.with.size={width}x{height}", f"animate.with.frames={frames}", f"animate.with.steps={steps}",
                     "animate.with.guidance.prompt=3"], ["tensors"])


def animate_2(r, image=False):
    """Three segments. The network's image branch is fixed at 1280 channels, too many for a fixture: `image` says whether there is one."""
    z, frames, segment, steps, overlap = 4, 11, 5, 3, 1
    heads = r.choice([1, 2])
    vae = autoencoder(r, z)
    network = randomise(WanAnimate2Transformer3DModel(
        text_len=512, in_dim=2 * z + 4, dim=heads * 12, ffn_dim=40, freq_dim=16, text_dim=12, out_dim=z, num_heads=heads, num_layers=11,
        use_img_emb=image), r)
    encoder, _ = clip(r, 1280 if image else 8, size=224)
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
    if r.maybe(0.3):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    # The picture counts as 64×48, so the canvas is 32×32, the picture in it 22×32, and what is cropped 24×32.
    area = (32, 48)
    inputs = texts(r) | {"prompt_ref_embeds": r.normal(1, 512, 12), "image": pictures(r, 1, 70, 50)[0],
                         "driving_video": pictures(r, frames, 40, 50), "noise": r.normal(3, 1, z, 3, 4, 4)}

    def run(x):
        blocks = WanAnimate2Blocks()
        blocks.sub_blocks.pop("text_encoder")
        pipe = blocks.init_pipeline()
        pipe.update_components(vae=vae, transformer=network, image_encoder=encoder, scheduler=scheduler)
        noise, taken, original = list(x["noise"]), [], animate_2_denoise.randn_tensor

        def stored(shape, **_):
            value = noise.pop(0)[0]
            assert tuple(shape) == tuple(value.shape), (shape, value.shape)
            return value.clone()

        decode = animate_2_denoise.decode_vae

        def watch(vae, latents):
            taken.append(latents)
            return decode(vae, latents[None] if latents.dim() == 4 else latents)
        animate_2_denoise.randn_tensor, animate_2_denoise.decode_vae = stored, watch
        try:
            videos = pipe(image=pil(x["image"][None])[0], driving_video=pil(x["driving_video"]), height=area[0], width=area[1],
                          segment_frame_length=segment, prev_segment_conditioning_frames=overlap, num_inference_steps=steps, output_type="pt",
                          prompt_embeds=x["prompt_embeds"], negative_prompt_embeds=x["negative_prompt_embeds"],
                          prompt_ref_embeds=x["prompt_ref_embeds"], output="videos")
        finally:
            animate_2_denoise.randn_tensor, animate_2_denoise.decode_vae = original, decode
        assert not noise
        return {"latents": taken[-1].reshape(1, z, -1, 4, 4), "frames": videos}

    def save(folder):
        for name, part in {"vae": vae, "transformer": network, "image_encoder": encoder, "scheduler": scheduler}.items():
            part.save_pretrained(folder / name)
        (folder / "modular_model_index.json").write_text(json.dumps({"_class_name": "WanAnimate2ModularPipeline"}) + "\n")
    return Pipeline(save, inputs, run, "wan-animate-2", ["tensors"],
                    [f"fitted.with.area={area[1]}x{area[0]}", f"segments.with.frames={segment}", f"segments.with.overlap={overlap}",
                     f"animate.with.steps={steps}", "outputs.frames=cropped.cropped"],
                    ["reference", "driving", "tensors"])


def animate_2_image(r):
    return animate_2(r, image=True)


STORED = {"pipeline_wan_t2v": text_to_video, "pipeline_wan_i2v": image_to_video, "pipeline_wan_ti2v": expanded_timesteps,
          "pipeline_wan_animate_2": animate_2}
CASES = STORED | {"first_last": first_last, "two_networks_from_picture": two_networks_from_picture,
                  "expanded_timesteps_text": expanded_timesteps_text, "animate_2_image": animate_2_image}


def make(name, seed, folder):
    case = CASES[name](Random(f"{name}/{seed}"))
    folder.mkdir(parents=True, exist_ok=True)
    case.save(folder)
    with torch.no_grad():
        outputs = case.run(case.inputs)
    save_file({k: v.contiguous() for k, v in case.inputs.items()}, folder / "inputs.safetensors")
    save_file({k: v.float().contiguous().clone() for k, v in outputs.items()}, folder / "outputs.safetensors")
    (folder / "graph.json").write_text(json.dumps(case.call, indent=2) + "\n")
    return case.call


def compare(understudy, graphs, folder, call, work):
    command = [understudy, "run", graphs / f"{call['graph']}.yaml", "--cache", work / "cache", "--out", work / "out"]
    for overlay in call["overlays"]:
        command += ["--overlay", graphs / "wan" / f"{overlay}.yaml"]
    for setting in call["settings"] + ["outputs.latents=animate.latent"]:
        command += ["--set", setting]
    for name in ["model"] + call["inputs"]:
        command += ["--input", f"{name}={folder if name == 'model' else folder / 'inputs.safetensors'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr + done.stdout).strip())
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("make")
    writing.add_argument("folder", type=pathlib.Path)
    writing.add_argument("--only", default="")
    comparing = commands.add_parser("compare")
    comparing.add_argument("understudy", type=pathlib.Path)
    comparing.add_argument("--seeds", type=int, default=3)
    comparing.add_argument("--first", type=int, default=1)
    comparing.add_argument("--only", default="")
    options = parser.parse_args()
    if options.command == "make":
        for name in STORED:
            if options.only in name:
                make(name, 0, options.folder / name)
        return 0
    return run_all(options)


def run_all(options):
    root = pathlib.Path(__file__).resolve().parents[2]
    bad = 0
    for name in CASES:
        if options.only not in name:
            continue
        for seed in range(options.first, options.first + options.seeds):
            with tempfile.TemporaryDirectory() as work:
                work = pathlib.Path(work)
                case = make(name, seed, work / "case")
                try:
                    printed = compare(options.understudy.resolve(), root / "Graphs", work / "case", case, work)
                except RuntimeError as problem:
                    bad += 1
                    print(f"{name} seed {seed}: {problem}", flush=True)
                    continue
                latents, frames = measure(printed, load_file(work / "case" / "outputs.safetensors"))
                bad += latents > 2e-5 or frames > 0.51
                print(f"{name:26s} seed {seed}  latents {latents:.1e}  frames {frames:.3f}", flush=True)
    return 1 if bad else 0


def measure(printed, expected):
    paths = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
    latents = [v.strip() for k, v in sorted(paths.items()) if k.startswith("latents")]
    ours = load_file(latents[-1].split(", ")[-1])["latent"][None]
    want = expected["latents"]
    error = float((ours - want).norm() / want.norm()) if ours.shape == want.shape else float("inf")
    film = load_file(paths["frames"].strip())["frames"].float()
    frames = expected["frames"][0].permute(0, 2, 3, 1) * 255
    return error, float((film - frames).abs().max()) if film.shape == frames.shape else float("inf")


if __name__ == "__main__":
    sys.exit(main())
