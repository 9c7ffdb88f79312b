"""Random configurations of the published networks, each with inputs and the function that the reference implementation computes.

`CASES` maps a name to a function of a `Random` that returns a `Case`. Sizes are drawn: widths that are no multiples of 8, head counts, layers,
frame counts, batches, both norm variants. Needs torch, diffusers and transformers.
"""
import math
import random
from dataclasses import dataclass, field
from typing import Callable

import torch
from diffusers import (AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanAnimate2Transformer3DModel,
                       WanAnimateTransformer3DModel, WanTransformer3DModel)
from diffusers.models.transformers import transformer_wan_animate_2 as animate2
from transformers import (CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection, UMT5Config, UMT5EncoderModel,
                          Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model)


@dataclass
class Case:
    model: torch.nn.Module
    inputs: dict[str, torch.Tensor]
    #: (model, inputs) → outputs; inputs and outputs have the names that `understudy model forward` uses.
    run: Callable
    #: Inputs that only the comparison needs (the reference does not take them by name).
    notes: str = ""
    save: Callable | None = None
    extra: dict = field(default_factory=dict)


class Random(random.Random):
    def normal(self, *shape, mean=0.0, std=1.0):
        generator = torch.Generator().manual_seed(self.getrandbits(40))
        return torch.randn(shape, generator=generator) * std + mean

    def maybe(self, p=0.5):
        return self.random() < p

    def waves(self, channels, frames, height, width):
        """Smooth moving pictures in −1 … 1, `[channels, frames, height, width]`."""
        t, y, x = torch.meshgrid(torch.linspace(0, 1, frames), torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
        planes = [sum(0.4 * torch.sin(2 * math.pi * (self.uniform(-3, 3) * t + self.uniform(-3, 3) * y + self.uniform(-3, 3) * x) + self.uniform(0, 6))
                      for _ in range(3)) for _ in range(channels)]
        return (torch.stack(planes) + 0.1 * self.normal(channels, frames, height, width)).clamp(-1, 1)


def randomise(model, r):
    """No tensor stays at zero or one, or a wrong branch would not show."""
    for name, p in model.named_parameters():
        leaf = name.rsplit(".", 1)[-1]
        owner = type(model.get_submodule(name.rsplit(".", 1)[0])).__name__ if "." in name else ""
        if "norm_q.weight" in name or "norm_k.weight" in name or "norm_added_k.weight" in name:
            value = r.normal(*p.shape, mean=1.5, std=0.3)
        elif leaf == "gamma" or p.dim() == 1 and leaf == "weight":
            value = r.normal(*p.shape, mean=1, std=0.2)
        elif leaf in ("scale_shift_table", "modulation"):
            value = r.normal(*p.shape, std=0.4)
        elif leaf == "bias":
            value = r.normal(*p.shape, std=0.2)
        elif owner in ("MotionConv2d", "MotionLinear") or leaf == "motion_synthesis_weight":
            value = r.normal(*p.shape)
        elif leaf == "original0" or leaf == "weight_g":
            value = r.normal(*p.shape, mean=1, std=0.2).abs()
        elif p.dim() >= 2 and leaf in ("weight", "original1"):
            gain = 0.6 if "conv2.weight" in name or "decoder.conv_out" in name else 1.0
            value = r.normal(*p.shape, std=gain / math.sqrt(p[0].numel()))
        else:
            value = r.normal(*p.shape, std=0.5)
        with torch.no_grad():
            p.copy_(value)
    return model.eval().requires_grad_(False)


def sample(model, inputs):
    return {"sample": model(**inputs).sample}


def sizes(r, patch):
    return tuple(p * r.randint(1 if i else 2, n) for i, (p, n) in enumerate(zip(patch, (4, 5, 5))))


def wan_t2v(r):
    patch = r.choice([(1, 2, 2)] * 3 + [(1, 1, 2), (2, 2, 2), (1, 1, 1)])
    c = dict(patch_size=patch, num_attention_heads=r.randint(1, 5), attention_head_dim=2 * r.randint(4, 20), in_channels=r.randint(3, 9),
             out_channels=r.randint(3, 9), text_dim=r.randint(8, 40), freq_dim=2 * r.randint(8, 20), ffn_dim=r.randint(30, 130),
             num_layers=r.randint(1, 4), cross_attn_norm=r.maybe(), eps=r.choice([1e-6, 1e-5]))
    model = randomise(WanTransformer3DModel(**c), r)
    batch, (t, h, w) = r.randint(1, 3), sizes(r, patch)
    tokens = t * h * w // math.prod(patch)
    inputs = {"hidden_states": r.normal(batch, c["in_channels"], t, h, w), "timestep": torch.rand(batch) * 999,
              "timestep_per_token": torch.rand(batch, tokens) * 999,
              "encoder_hidden_states": r.normal(batch, r.randint(1, 40), c["text_dim"])}

    def run(model, x):
        rest = dict(hidden_states=x["hidden_states"], encoder_hidden_states=x["encoder_hidden_states"])
        return {"sample": model(timestep=x["timestep"], **rest).sample,
                "sample_per_token_timestep": model(timestep=x["timestep_per_token"], **rest).sample}
    return Case(model, inputs, run)


def wan_i2v(r):
    z, heads, width = r.randint(3, 6), r.randint(1, 5), 2 * r.randint(4, 16)
    c = dict(num_attention_heads=heads, attention_head_dim=width, in_channels=2 * z + 4, out_channels=z, text_dim=r.randint(8, 30),
             freq_dim=2 * r.randint(8, 20), ffn_dim=r.randint(30, 100), num_layers=r.randint(1, 3), image_dim=r.randint(10, 40),
             added_kv_proj_dim=heads * width)
    batch, (t, h, w) = r.randint(1, 2), sizes(r, (1, 2, 2))
    # First and last frame: twice the image tokens, with learned positions.
    first_last = r.maybe(0.3)
    n = r.randint(3, 9)
    if first_last:
        c["pos_embed_seq_len"] = 2 * n
    model = randomise(WanTransformer3DModel(**c), r)
    image = r.normal(2 * batch if first_last else batch, n, c["image_dim"])
    return Case(model, {"hidden_states": r.normal(batch, 2 * z + 4, t, h, w), "timestep": torch.randint(0, 1000, (batch,)),
                        "encoder_hidden_states": r.normal(batch, 512, c["text_dim"]), "encoder_hidden_states_image": image}, sample)


def wan_animate(r):
    z, heads, width = r.randint(3, 6), r.randint(1, 4), 2 * r.randint(4, 12)
    size, interval = r.choice([8, 16, 32]), r.randint(1, 3)
    c = dict(num_attention_heads=heads, attention_head_dim=width, in_channels=2 * z + 4, latent_channels=z, out_channels=z, text_dim=r.randint(8, 30),
             freq_dim=2 * r.randint(8, 20), ffn_dim=r.randint(30, 100), num_layers=interval * r.randint(1, 3), image_dim=r.randint(10, 40),
             added_kv_proj_dim=heads * width, motion_encoder_channel_sizes={str(4 << i): r.randint(6, 20) for i in range(4)},
             motion_encoder_size=size, motion_style_dim=r.randint(10, 30), motion_dim=r.randint(2, 9), motion_encoder_dim=r.randint(10, 30),
             face_encoder_hidden_dim=r.randint(10, 30), face_encoder_num_heads=r.randint(1, 5), inject_face_latents_blocks=interval)
    model = randomise(WanAnimateTransformer3DModel(**c), r)
    batch, frames, h, w = r.randint(1, 2), r.randint(1, 5), 2 * r.randint(1, 5), 2 * r.randint(1, 5)
    inputs = {"hidden_states": r.normal(batch, 2 * z + 4, frames + 1, h, w), "timestep": torch.randint(0, 1000, (batch,)),
              "encoder_hidden_states": r.normal(batch, 512, c["text_dim"]),
              "encoder_hidden_states_image": r.normal(batch, r.randint(3, 9), c["image_dim"]),
              "pose_hidden_states": r.normal(batch, z, frames, h, w),
              "face_pixel_values": torch.stack([r.waves(3, 4 * (frames - 1) + 1, size, size) for _ in range(batch)])}
    return Case(model, inputs, sample)


def wan_animate_2(r):
    z, heads = r.randint(3, 6), r.randint(1, 3)
    layers, image = r.choice([2, 3, 10, 11]), r.maybe(0.3)
    c = dict(text_len=r.randint(12, 24), in_dim=2 * z + 4, dim=heads * 2 * r.randint(4, 10), ffn_dim=r.randint(20, 60), freq_dim=2 * r.randint(8, 16),
             text_dim=r.randint(8, 30), out_dim=z, num_heads=heads, num_layers=layers, cross_attn_norm=r.maybe(0.7), use_img_emb=image,
             refer_offset_t=r.choice([1, 0, 3, -1]), refer_offset_h=r.choice([0, 2, -1]), refer_offset_w=r.choice([-1, 5]), refer_stride=r.choice([1, 1, 2]))
    model = randomise(WanAnimate2Transformer3DModel(**c), r)
    frames, h, w = r.randint(1, 4), 2 * r.randint(1, 4), 2 * r.randint(1, 4)
    # The film for which the mask is made may be longer and larger than this segment: zeros fill the rest.
    more, larger = (r.randint(0, 2), r.randint(0, 2)) if r.maybe() else (0, 0)
    origin = [4 * (frames + more - 1) + 1, 8 * (h + 2 * larger), 8 * w]
    grid = torch.tensor([[frames, h // 2, w // 2]])
    inputs = {"timestep": torch.rand(1) * 999, "reference_latents": r.normal(z, frames, h, w), "reference_condition": r.normal(z + 4, frames, h, w),
              "reference_text": r.normal(r.randint(1, 12), c["text_dim"]), "latents": r.normal(z, frames + 1, h, w),
              "condition": r.normal(z + 4, frames + 1, h, w), "text": r.normal(r.randint(1, 12), c["text_dim"])}
    if image:
        inputs |= {"reference_image_embeds": r.normal(1, 5, 1280), "image_embeds": r.normal(1, 5, 1280)}
    if more or larger:
        inputs |= {"origin_len": torch.tensor([origin[0]]), "origin_area": torch.tensor(origin[1:])}

    def run(model, x):
        cache = animate2.WanAnimate2KVCache(layers)
        reference = model([x["reference_latents"]], timestep=x["timestep"], encoder_hidden_states=[x["reference_text"]],
                          condition_latents=[x["reference_condition"]], kv_cache=cache, kv_cache_mode="extract", seq_len=frames * h * w // 4,
                          encoder_hidden_states_image=x.get("reference_image_embeds"), offset_grid_sizes=grid).sample[0]

        def generate(unconditional):
            return model([x["latents"]], timestep=x["timestep"], encoder_hidden_states=[x["text"]], condition_latents=[x["condition"]],
                         kv_cache=cache, kv_cache_mode="cached", seq_len=(frames + 1) * h * w // 4,
                         encoder_hidden_states_image=x.get("image_embeds"), reference_grid_sizes=grid, origin_len=origin[0],
                         origin_area=origin[1:], is_uncondtion=unconditional).sample[0]
        kept = [cache.get(i).get() for i in range(layers)]
        return {"reference_sample": reference, "reference_keys": torch.stack([k for k, _ in kept]),
                "reference_values": torch.stack([v for _, v in kept]), "sample": generate(False), "sample_unconditional": generate(True)}
    return Case(model, inputs, run, notes=f"mask of {origin}" if more or larger else "")


def vae(r, residual):
    z = r.randint(3, 8)
    c = dict(base_dim=2 * r.randint(2, 4), z_dim=z, dim_mult=[1] + sorted(r.randint(1, 3) for _ in range(3)), num_res_blocks=r.randint(1, 2),
             temperal_downsample=r.choice([[False, True, True], [True, True, False], [True, False, True]]),
             latents_mean=[round(r.uniform(-1, 1), 3) for _ in range(z)], latents_std=[round(r.uniform(0.5, 2), 3) for _ in range(z)])
    stride = 8
    if residual:
        # The shortcuts fold and unfold channels, which must divide.
        c |= dict(is_residual=True, in_channels=12, out_channels=12, patch_size=2, scale_factor_spatial=16, dim_mult=[1, 2, 4, 4],
                  temperal_downsample=[False, True, True])
        stride = 16
    if r.maybe():
        c["decoder_base_dim"] = 2 * r.randint(2, 5)
    model = randomise(AutoencoderKLWan(**c), r)
    mean, std = (torch.tensor(c[k]).view(1, z, 1, 1, 1) for k in ("latents_mean", "latents_std"))
    side = lambda: stride * r.randint(1, 80 // stride)
    batch = r.randint(1, 2)
    inputs = {"video": r.waves(3, 1 + 4 * r.randint(0, 3), side(), side())[None].repeat(batch, 1, 1, 1, 1),
              "image": r.waves(3, 1, side(), side())[None], "latents_standardised": r.normal(batch, z, r.randint(1, 4), r.randint(1, 6), r.randint(1, 6))}

    def run(model, x):
        raw = (x["latents_standardised"] * std + mean).to(model.dtype)
        model.use_tiling = False
        video, image = model.encode(x["video"]).latent_dist, model.encode(x["image"]).latent_dist
        out = {"video_mean": video.mean, "video_logvar": video.logvar, "video_standardised": (video.mean - mean) / std, "image_mean": image.mean,
               "image_standardised": (image.mean - mean) / std, "decoded": model.decode(raw).sample, "decoded_first": model.decode(raw[:, :, :1]).sample}
        if not residual:
            model.enable_tiling(tile_sample_min_height=24, tile_sample_min_width=24, tile_sample_stride_height=16, tile_sample_stride_width=16)
            out |= {"decoded_tiled": model.decode(raw).sample, "video_mean_tiled": model.encode(x["video"]).latent_dist.mean}
            model.use_tiling = False
        return out
    return Case(model, inputs, run)


def clip(r):
    heads, patch, projects = r.randint(1, 5), r.randint(7, 16), r.maybe()
    c = CLIPVisionConfig(hidden_size=heads * r.randint(6, 16), intermediate_size=r.randint(30, 100), projection_dim=r.randint(10, 30),
                         num_hidden_layers=r.randint(2, 4), num_attention_heads=heads, image_size=r.randint(2 * patch, 5 * patch), patch_size=patch,
                         hidden_act=r.choice(["gelu", "quick_gelu"]))
    model = randomise((CLIPVisionModelWithProjection if projects else CLIPVisionModel)(c), r)

    def run(model, x):
        out = model(pixel_values=x["pixel_values"], output_hidden_states=True)
        rest = {"image_embeds": out.image_embeds} if projects else {"pooler_output": out.pooler_output}
        return {"penultimate_hidden_state": out.hidden_states[-2], "last_hidden_state": out.last_hidden_state} | rest
    return Case(model, {"pixel_values": r.normal(r.randint(1, 3), 3, c.image_size, c.image_size)}, run)


def umt5(r):
    c = UMT5Config(vocab_size=r.randint(50, 200), d_model=r.randint(20, 60), d_kv=r.randint(5, 14), d_ff=r.randint(30, 90), num_layers=r.randint(1, 4),
                   num_heads=r.randint(1, 5), relative_attention_num_buckets=r.choice([8, 16, 32, 20]), relative_attention_max_distance=r.choice([40, 64, 128]))
    model = randomise(UMT5EncoderModel(c), r)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(".q.weight"):
                p.mul_(c.d_kv ** -0.5)
    batch, length = r.randint(1, 3), r.randint(3, 200)
    mask = torch.zeros(batch, length, dtype=torch.long)
    for row in mask:
        row[:r.randint(1, length)] = 1
    ids = torch.randint(0, c.vocab_size, (batch, length)) * mask

    def run(model, x):
        last = model(x["input_ids"], attention_mask=x["attention_mask"]).last_hidden_state
        return {"last_hidden_state": last, "prompt_embeds": last * x["attention_mask"][..., None]}
    return Case(model, {"input_ids": ids, "attention_mask": mask}, run)


def wav2vec2(r):
    heads, groups, stable = r.randint(1, 4), r.randint(1, 4), r.maybe()
    widths = tuple(r.randint(8, 24) for _ in range(7))
    c = Wav2Vec2Config(hidden_size=heads * groups * r.randint(3, 6), num_hidden_layers=r.randint(1, 4), num_attention_heads=heads,
                       intermediate_size=r.randint(20, 70), conv_dim=widths, num_conv_pos_embeddings=r.randint(5, 24),
                       num_conv_pos_embedding_groups=groups, feat_extract_norm=r.choice(["group", "layer"]), do_stable_layer_norm=stable,
                       conv_bias=r.maybe())
    model = randomise(Wav2Vec2Model(c), r)
    n = r.randint(2000, 24000)
    t = torch.arange(n) / 16000
    wave = 0.3 * torch.sin(2 * math.pi * (r.uniform(80, 200) * t + 900 * t ** 2)) + 0.05 * r.normal(n) + 0.02

    def run(model, x):
        values = Wav2Vec2FeatureExtractor()(x["waveform"].float().numpy(), sampling_rate=16000, return_tensors="pt").input_values
        out = model(values.to(model.dtype), output_hidden_states=True)
        states = {f"hidden_states.{i}": s for i, s in enumerate(out.hidden_states)}
        return {"input_values": values, "extract_features": out.extract_features, "last_hidden_state": out.last_hidden_state} | states
    return Case(model, {"waveform": wave.float()}, run)


def scheduler(r):
    """Steps on given network outputs, of any number, shift and order."""
    steps, shift = r.randint(1, 40), round(r.uniform(0.5, 12), 2)
    if r.maybe():
        model = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=r.randint(1, 3))
    else:
        model = FlowMatchEulerDiscreteScheduler(shift=shift)
    shape = (r.randint(1, 3), r.randint(1, 5), r.randint(1, 9))

    def run(model, x):
        model.set_timesteps(steps)
        samples = [x["noise"]]
        for t, v in zip(model.timesteps, x["model_outputs"]):
            samples.append(model.step(v, t, samples[-1], return_dict=False)[0])
        return {"sigmas": model.sigmas, "timesteps": model.timesteps.float(), "samples": torch.stack(samples)}
    return Case(model, {"noise": r.normal(*shape), "model_outputs": r.normal(steps, *shape)}, run,
                notes=f"{type(model).__name__}, {steps} steps, shift {shift}, order {model.config.get('solver_order', 1)}")


CASES = {"wan_t2v": wan_t2v, "wan_i2v": wan_i2v, "wan_animate": wan_animate, "wan_animate_2": wan_animate_2, "vae_21": lambda r: vae(r, False),
         "vae_22": lambda r: vae(r, True), "clip": clip, "umt5": umt5, "wav2vec2": wav2vec2,
         "scheduler": scheduler}
