"""Digests of what diffusers' schedulers and Pillow 13 give in many cases, for the repository's own tests.

    python Tests/Parity/make_digest_fixtures.py Tests/Fixtures/Digests

`schedules.json`: for each scheduler and shift, one digest of the sigmas and timesteps (f32) of all numbers of steps from 1 to 200.
`resizing.json`: sizes, filter (Pillow's number) and a digest of the resized bytes of a picture that a formula gives (`picture`).
Digests are FNV-1a of 64 bits, in hexadecimal. Needs torch, diffusers, numpy and Pillow 13.
"""
import json
import pathlib
import random
import sys

import numpy
import PIL
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from PIL import Image


def digest(*parts):
    value = 0xCBF29CE484222325
    for byte in b"".join(parts):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def schedules():
    rows = []
    for shift in (1.0, 3.0, 5.0, 7.3):
        flow = dict(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
        for scheduler in (UniPCMultistepScheduler(**flow), DPMSolverMultistepScheduler(**flow), FlowMatchEulerDiscreteScheduler(shift=shift)):
            parts = []
            for steps in range(1, 201):
                scheduler.set_timesteps(steps)
                parts += [scheduler.sigmas.float().numpy().tobytes(), scheduler.timesteps.float().numpy().tobytes()]
            rows.append({"class": type(scheduler).__name__, "shift": shift, "digest": digest(*parts)})
    return rows


def picture(width, height):
    n = numpy.arange(width * height * 3, dtype=numpy.uint64)
    return ((n * 2654435761 + n // 7 * 97) % 2**32 >> 24).astype(numpy.uint8).reshape(height, width, 3)


def resizing():
    r, rows = random.Random(0), []
    # Both orders of the two passes, and the limit between them.
    sizes = [((40, 60), (50, 41)), ((40, 60), (50, 40)), ((40, 60), (50, 39)), ((40, 60), (30, 59)), ((60, 40), (31, 39))]
    # The digits of the Hamming window's two numbers.
    sizes += [((88, 35), (69, 91))] * 5
    sizes += [((r.randint(1, 90), r.randint(1, 120)), (r.randint(1, 90), r.randint(1, 90))) for _ in range(60)]
    for index, (source, target) in enumerate(sizes):
        resized = Image.fromarray(picture(*source)).resize(target, 1 + index % 5)
        rows.append({"width": source[0], "height": source[1], "toWidth": target[0], "toHeight": target[1], "filter": 1 + index % 5,
                     "digest": digest(resized.tobytes())})
    return rows


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not PIL.__version__.startswith("13."):
        sys.exit(f"Pillow 13 is needed, not {PIL.__version__}")
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("schedules", schedules()), ("resizing", resizing())):
        (folder / f"{name}.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
