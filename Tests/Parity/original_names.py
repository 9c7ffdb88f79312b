"""The names that original checkpoints of Wan, its autoencoders, UMT5 and CLIP give the tensors of diffusers' and transformers' networks.

Where the reference has a conversion of its own, names are checked against it.
"""
import re

import torch
from diffusers.loaders import single_file_utils as single

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
