"""An external node: reads a request file, opens artifacts with the safetensors package, writes one, reports progress."""
import json
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def say(**line):
    print(json.dumps(line), flush=True)


def main(path):
    request = json.load(open(path))
    threshold = request["parameters"]["threshold"]
    rows = []
    with safe_open(request["inputs"]["video"][0], framework="numpy") as video:
        frames = video.get_slice("frames")                      # [frames, height, width, 3], read one by one
        count = frames.get_shape()[0]
        before = frames[0].astype(np.int16)
        for index in range(count):
            frame = frames[index].astype(np.int16)
            change = np.abs(frame - before)
            rows.append([float(change[change >= threshold].sum() / change.size)])
            before = frame
            say(progress={"done": index + 1, "total": count, "unit": "frames"})
    meta = {"columns": [{"name": "motion", "unit": "grey levels"}], "labels": [str(i) for i in range(count)]}
    save_file(
        {"values": np.array(rows, np.float64).reshape(count, 1)}, request["outputs"]["table"],
        metadata={"understudy.type": "table", "understudy.meta": json.dumps(meta, sort_keys=True)})


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
        raise
