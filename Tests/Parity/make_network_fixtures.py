"""Tiny random networks with inputs and outputs, for the parity tests of the Swift networks.

    python Tests/Parity/make_network_fixtures.py OUTPUT_FOLDER

Writes OUTPUT_FOLDER/<case>.safetensors. Each holds the weights (`weight.<tensor name>`), inputs (`in.<name>`) and outputs (`out.<name>`), f32;
the metadata's `config` is what config.json would hold. Needs torch, numpy, safetensors and diffusers (for the VAE).
"""
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Nodes" / "Train"))
from understudy_train import audio, networks  # noqa: E402


def randomise(network, scale=1.0):
    """Every tensor random, zero initialisations too, or a wrong branch would not show."""
    generator = torch.Generator().manual_seed(5)
    for p in network.parameters():
        noise = torch.randn(p.shape, generator=generator)
        fan = p[0].numel() if p.dim() > 1 else 1
        with torch.no_grad():
            p.copy_(1 + 0.2 * noise if bool((p == 1).all()) else noise * scale / fan ** 0.5 if p.dim() > 1 else 0.2 * noise)
    return network.eval()


def save(folder, name, config, inputs, outputs, network=None):
    tensors = {f"weight.{k}": v for k, v in network.state_dict().items()} if network is not None else {}
    tensors |= {f"in.{k}": v for k, v in inputs.items()} | {f"out.{k}": v for k, v in outputs.items()}
    save_file({k: v.detach().float().contiguous().clone() for k, v in tensors.items()}, folder / f"{name}.safetensors",
              {"config": json.dumps(config, sort_keys=True)})


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


TINY_DIT = dict(in_channels=4, pose_channels=4, fuse_dim=8, dim=24, num_heads=2, num_layers=2, ffn_dim=48, freq_dim=16, face_dim=8,
                face_tokens=2)
DIT_CASES = {
    "dit_sample": {},
    "dit_velocity": dict(prediction="velocity", aligned_reference=False, attention_order=["face", "reference"]),
    "dit_joint": dict(reference_attention="joint"),
    "dit_stage1": dict(face_attention=False, prediction="velocity"),
}


def dit(folder):
    for name, changes in DIT_CASES.items():
        network = randomise(networks.DreamActorTransformer(**TINY_DIT, **changes))
        x, pose, references = random(1, 4, 3, 4, 6, seed=1), random(1, 4, 3, 4, 6, seed=2), random(1, 2, 4, 4, 6, seed=3)
        face, t = random(1, 9, 2, 8, seed=4), torch.tensor([[0.0, 0.7, 0.7]])
        reference_pose = random(1, 2, 4, 4, 6, seed=6)
        outputs = {"velocity": network(x, t, pose, references, face, reference_pose=reference_pose),
                   "velocity_dropped": network(x, t, None, torch.zeros_like(references), None)}
        if network.config["reference_attention"] == "cached":
            caches = network.encode_references(references, reference_pose)
            for i, cache in enumerate(caches):
                outputs |= {f"cache.{i}.{k}": v for k, v in zip(("k", "v", "reference_k", "reference_v"), cache)}
            again = network(x, t, pose, face=face, caches=caches, aligned=references[:, 0])
            assert torch.allclose(again, outputs["velocity"], atol=1e-6)
        inputs = {"x": x, "timestep": t, "pose": pose, "references": references, "reference_pose": reference_pose, "face": face}
        save(folder, name, network.config, inputs, outputs, network)


def encoders(folder):
    network = randomise(networks.PoseEncoder(channels=[6, 8, 8], out_channels=4))
    maps = random(1, 6, 9, 16, 24, seed=1).sigmoid()
    save(folder, "pose_encoder", network.config, {"maps": maps}, {"features": network(maps)}, network)

    network = randomise(networks.FaceMotionEncoder(image_size=32, channels=[4, 6, 8], motion_dim=5, hidden_dim=12, face_tokens=2, face_dim=8))
    crops = random(3, 3, 32, 32, seed=1).tanh()
    save(folder, "face_motion_encoder", network.config, {"crops": crops}, {"motion": network.motion(crops), "tokens": network(crops)}, network)

    network = randomise(networks.AudioEncoder(mels=80, window=8, channels=[6, 8], dim=16, face_tokens=2, face_dim=8))
    samples = torch.sin(torch.arange(8000) * 0.05) * 0.3 + 0.02 * random(8000, seed=1)
    times = torch.arange(13) / 24
    mel = torch.from_numpy(audio.log_mel(samples.numpy()))
    features = torch.from_numpy(audio.on_frames(mel.numpy(), times.numpy(), 8))[None]
    save(folder, "audio_encoder", network.config, {"samples": samples, "times": times},
         {"mel": mel, "features": features, "tokens": network(features)}, network)

    network = randomise(networks.KeypointNet(image_size=32, channels=[4, 6, 8, 8], names=["nose", "left_eye", "right_eye"]))
    image = random(2, 3, 32, 32, seed=1).tanh()
    save(folder, "keypoint_net", network.config, {"image": image}, network(image), network)


def block_vae(folder):
    network = networks.BlockVAE(z_dim=3, encoder_dim=4, encoder_blocks=1, decoder_dim=5, decoder_blocks=2)
    network = randomise(network)
    network.config |= dict(latents_mean=[0.1, -0.2, 0.3], latents_std=[1.0, 2.0, 0.5])
    video, z = random(1, 3, 9, 16, 24, seed=1).tanh(), random(1, 3, 3, 2, 3, seed=2)
    save(folder, "block_vae", network.config, {"video": video, "z": z},
         {"latent": network.encode(video), "decoded": network.decode(z), "standardised": network.standardised(video),
          "from_standardised": network.from_standardised(z)}, network)


def vae(folder):
    from diffusers import AutoencoderKLWan
    config = dict(base_dim=4, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=1, attn_scales=[], temperal_downsample=[True, True],
                  latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[1.0, 2.0, 0.5, 1.5], is_residual=True, in_channels=12,
                  out_channels=12, patch_size=2, scale_factor_temporal=4, scale_factor_spatial=8)
    network = randomise(AutoencoderKLWan(**config))
    video = random(1, 3, 9, 32, 48, seed=1).tanh()
    latent = network.encode(video).latent_dist.mode()
    z = random(1, 4, 3, 4, 6, seed=2)
    save(folder, "vae_residual", {"_class_name": "AutoencoderKLWan", **config}, {"video": video, "z": z},
         {"latent": latent, "decoded": network.decode(z).sample}, network)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with torch.no_grad():
        dit(target), encoders(target), block_vae(target), vae(target)
    for path in sorted(target.glob("*.safetensors")):
        print(path.name, path.stat().st_size)
