"""A network whose weights do not fit in memory: time, reading speed and peak memory under a limit.

    python3 Tests/mapped.py .build/release/understudy --layers 32 --limit 2G
    python3 Tests/mapped.py .build/release/understudy --width 5120 --ffn 13824 --layers 40 --limit 4G --alone    # as large as Wan's 14B: 28 GB

Writes a Wan transformer in bf16 (of 2048 channels, if nothing is said: 67 million weights per layer; 32 layers are 4.3 GB, 8.6 GB in single
precision) into a temporary folder, evaluates it once within the limit of the process's data (RLIMIT_DATA: what is mapped from files does not count),
and once without, and compares the bytes. The exit status is 1 when they differ or the limit was not kept. What the disk gives without any arithmetic
is printed beside it. Needs nothing but Python.
"""
import argparse
import json
import os
import pathlib
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time

TEXT, FREQ = 64, 256


def shapes(layers, dim, ffn):
    def linear(name, inputs, outputs):
        return {f"{name}.weight": [outputs, inputs], f"{name}.bias": [outputs]}
    t = linear("condition_embedder.time_embedder.linear_1", FREQ, dim) | linear("condition_embedder.time_embedder.linear_2", dim, dim)
    t |= linear("condition_embedder.time_proj", dim, 6 * dim) | linear("condition_embedder.text_embedder.linear_1", TEXT, dim)
    t |= linear("condition_embedder.text_embedder.linear_2", dim, dim) | linear("proj_out", dim, 64)
    t |= {"patch_embedding.weight": [dim, 16, 1, 2, 2], "patch_embedding.bias": [dim], "scale_shift_table": [1, 2, dim]}
    for i in range(layers):
        for a in ("attn1", "attn2"):
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                t |= linear(f"blocks.{i}.{a}.{part}", dim, dim)
            t |= {f"blocks.{i}.{a}.norm_q.weight": [dim], f"blocks.{i}.{a}.norm_k.weight": [dim]}
        t |= linear(f"blocks.{i}.ffn.net.0.proj", dim, ffn) | linear(f"blocks.{i}.ffn.net.2", ffn, dim)
        t |= {f"blocks.{i}.norm2.weight": [dim], f"blocks.{i}.norm2.bias": [dim], f"blocks.{i}.scale_shift_table": [1, 6, dim]}
    return t


def size(shape, width):
    for n in shape:
        width *= n
    return width


def write(path, tensors, dtype, width, value):
    header, offset = {}, 0
    for name, shape in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size(shape, width)]}
        offset += size(shape, width)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors.items():
            count = size(shape, width)
            while count > 0:
                block = value(name)[:count]
                file.write(block)
                count -= len(block)
    return offset


def bf16_noise():
    """A million small values around 0, as bf16; which part of it a block takes is random."""
    r = random.Random(1)
    values = b"".join(struct.pack("<f", r.gauss(0, 0.02))[2:] for _ in range(1 << 19)) * 2
    return lambda name: values[(start := 2 * r.randrange(1 << 18)):start + (1 << 20)]


def forget(file):
    """Drops a file's pages from memory."""
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def read(file):
    """Seconds that reading a file takes, out of memory before and after."""
    forget(file)
    started, block = time.time(), bytearray(8 << 20)
    with open(file, "rb", buffering=0) as bytes_:
        while bytes_.readinto(block):
            pass
    seconds = time.time() - started
    forget(file)
    return seconds


def evaluate(understudy, folder, output, limit, memory):
    def restrict():
        if limit:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    started = time.time()
    process = subprocess.Popen([understudy, "model", "forward", "--model", folder, "--inputs", folder / "inputs.safetensors", "--output", output, *memory],
                               stdout=subprocess.DEVNULL, preexec_fn=restrict)
    anonymous = 0
    while process.poll() is None:
        try:
            text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            anonymous = max(anonymous, 1024 * int(re.search(r"RssAnon:\s+(\d+)", text)[1]))
        except (OSError, TypeError):
            pass
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"understudy ended with status {process.returncode}")
    return time.time() - started, anonymous


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("understudy", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--width", type=int, default=2048, help="channels, a multiple of 128")
    parser.add_argument("--ffn", type=int, default=8192)
    parser.add_argument("--limit", default="2G", help="of the process's data")
    parser.add_argument("--alone", action="store_true", help="no second run that keeps all weights in memory")
    options = parser.parse_args()
    limit = int(float(options.limit[:-1]) * {"M": 1 << 20, "G": 1 << 30}[options.limit[-1]])
    program = options.understudy.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "config.json").write_text(json.dumps(dict(
            _class_name="WanTransformer3DModel", num_attention_heads=options.width // 128, attention_head_dim=128, in_channels=16, out_channels=16, text_dim=TEXT,
            freq_dim=FREQ, ffn_dim=options.ffn, num_layers=options.layers)))
        count = write(folder / "diffusion_pytorch_model.safetensors", shapes(options.layers, options.width, options.ffn), "BF16", 2, bf16_noise())
        r = random.Random(2)
        floats = lambda n: b"".join(struct.pack("<f", r.gauss(0, 1)) for _ in range(n))
        write(folder / "inputs.safetensors", {"hidden_states": [1, 16, 1, 16, 16], "timestep": [1], "encoder_hidden_states": [1, 16, TEXT]}, "F32", 4,
              lambda name: struct.pack("<f", 500.0) if name == "timestep" else floats(64))
        os.sync()
        print(f"weights: {count / 1e9:.1f} GB in bf16, {2 * count / 1e9:.1f} GB in single precision; limit {limit / 1e9:.1f} GB")
        seconds = read(folder / "diffusion_pytorch_model.safetensors")
        print(f"the disk:         {seconds:.1f} s to read them once, {count / seconds / 1e9:.2f} GB/s")
        seconds, peak = evaluate(program, folder, folder / "a.safetensors", limit, [])
        print(f"within the limit: {seconds:.1f} s, {count / seconds / 1e9:.2f} GB/s of weights, peak {peak / 1e9:.2f} GB")
        bad = peak > limit
        if not options.alone:
            seconds, peak = evaluate(program, folder, folder / "b.safetensors", 0, ["--weight-memory", "1000000000000"])
            print(f"all in memory:    {seconds:.1f} s, peak {peak / 1e9:.2f} GB")
            same = (folder / "a.safetensors").read_bytes() == (folder / "b.safetensors").read_bytes()
            print("the same bytes" if same else "OTHER BYTES")
            bad = bad or not same
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
