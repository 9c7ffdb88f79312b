"""What step caching gains and costs: a graph's film with several thresholds of `stepCache`, against the film of full steps.

    python3 Tests/Parity/step_cache.py .build/release/understudy --graph Graphs/example.yaml --steps 20

For each threshold: seconds in the generating nodes, passes that reused work, and PSNR against the film without caching (and against `--truth`,
a clip of what the film should show, if it is given). Needs ffmpeg and nothing but Python's own library.
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


def run(options, folder, threshold):
    cache, out = folder / f"cache-{threshold}", folder / f"out-{threshold}"
    settings = [f"{options.node}.with.steps={options.steps}", f"{options.node}.with.stepCache={threshold}"] + (options.set or [])
    log = subprocess.run([options.understudy, "run", options.graph, "--cache", cache, "--out", out, *[a for s in settings for a in ("--set", s)]],
                         capture_output=True, text=True)
    if log.returncode:
        raise SystemExit(log.stderr or log.stdout)
    shown = json.loads(subprocess.run([options.understudy, "runs", "show", "--json", "--cache", cache], capture_output=True, text=True, check=True).stdout)
    own = re.compile(rf'"{re.escape(options.node)}["\[]')
    seconds = sum(entry.get("seconds") or 0 for entry in shown if own.search(json.dumps(entry["instance"])))
    reused = sum(int(n) for n in re.findall(r"(\d+) passes reused", log.stdout + log.stderr))
    return seconds, reused, next(out.rglob("*.mp4"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("understudy", type=pathlib.Path)
    parser.add_argument("--graph", default="Graphs/example.yaml")
    parser.add_argument("--node", default="animate", help="the dit.segment node")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--thresholds", default="0,0.05,0.1,0.2,0.4")
    parser.add_argument("--truth", help="a clip of what the film should show")
    parser.add_argument("--set", action="append", help="further settings of the graph")
    options = parser.parse_args()
    options.understudy = options.understudy.resolve()
    with tempfile.TemporaryDirectory() as name:
        full = None
        for threshold in options.thresholds.split(","):
            seconds, reused, film = run(options, pathlib.Path(name), threshold)
            picture = frames(film)
            full = full or picture
            size = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0:s=:", film],
                                  capture_output=True, text=True, check=True).stdout.strip()
            truth = f", against the truth {psnr(picture, frames(options.truth, size)):.2f} dB" if options.truth else ""
            print(f"stepCache {threshold:5s} {seconds:7.2f} s, {reused:4d} passes reused, PSNR against full steps {psnr(picture, full):6.2f} dB{truth}", flush=True)


if __name__ == "__main__":
    main()
