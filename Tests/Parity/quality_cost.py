"""What a parameter that trades quality for speed gains and costs: a graph's film with several values of it, against the film of the first value.

    python3 Tests/Parity/quality_cost.py .build/release/understudy --graph Graphs/example.yaml --set animate.with.steps=20
    python3 Tests/Parity/quality_cost.py .build/release/understudy --parameter animate.with.precision --values f32,bf16,int8

Other options go to `understudy run`, such as `--input`.

For each value: seconds in the nodes of the parameter, passes that reused work, and PSNR against the first film (and against `--truth`, a clip of
what the film should show, if it is given). Needs ffmpeg and nothing but Python's own library.
"""
import argparse
import json
import math
import pathlib
import re
import subprocess
import tempfile


def frames(path, size=None):
    scale = ["-vf", f"scale={size}:flags=area"] if size else []
    return subprocess.run(["ffmpeg", "-v", "error", "-i", path, *scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout


def psnr(a, b):
    n = min(len(a), len(b))
    squares = sum((x - y) * (x - y) for x, y in zip(a[:n], b[:n]))
    return math.inf if squares == 0 else 10 * math.log10(255 * 255 * n / squares)


def run(options, folder, value):
    cache, out = folder / f"cache-{value}", folder / f"out-{value}"
    settings = [f"{options.parameter}={value}"] + (options.set or [])
    log = subprocess.run([options.understudy, "run", options.graph, "--cache", cache, "--out", out, *[a for s in settings for a in ("--set", s)], *options.more],
                         capture_output=True, text=True)
    if log.returncode:
        raise SystemExit(log.stderr or log.stdout)
    shown = json.loads(subprocess.run([options.understudy, "runs", "show", "--json", "--cache", cache], capture_output=True, text=True, check=True).stdout)
    own = re.compile(rf'"{re.escape(options.parameter.split(".")[0])}["\[]')
    seconds = sum(entry.get("seconds") or 0 for entry in shown if own.search(json.dumps(entry["instance"])))
    reused = sum(int(n) for n in re.findall(r"(\d+) passes reused", log.stdout + log.stderr))
    return seconds, reused, next(out.rglob("*.mp4"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("understudy", type=pathlib.Path)
    parser.add_argument("--graph", default="Graphs/example.yaml")
    parser.add_argument("--parameter", default="animate.with.stepCache", help="NODE.with.NAME")
    parser.add_argument("--values", default="0,0.05,0.1,0.2,0.4", help="the first is what the others are held against")
    parser.add_argument("--truth", help="a clip of what the film should show")
    parser.add_argument("--set", action="append", help="further settings of the graph")
    options, options.more = parser.parse_known_args()  # the rest goes to `understudy run`
    options.understudy = options.understudy.resolve()
    with tempfile.TemporaryDirectory() as name:
        full = None
        for value in options.values.split(","):
            seconds, reused, film = run(options, pathlib.Path(name), value)
            picture = frames(film)
            full = full or picture
            truth = ""
            if options.truth:
                size = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0:s=x", film],
                                      capture_output=True, text=True, check=True).stdout.strip().replace("x", ":")
                truth = f", against the truth {psnr(picture, frames(options.truth, size)):.2f} dB"
            cost = f"PSNR against the first {psnr(picture, full):.2f} dB{truth}"
            print(f"{options.parameter} {value}: {seconds:.2f} s, {reused} passes reused, {cost}", flush=True)


if __name__ == "__main__":
    main()
