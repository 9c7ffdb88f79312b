#!/usr/bin/env python3
"""Counts the threads of a run that want to run: threads.py PROGRAM [--quick]

Networks, decoding and encoding, with everything stored and with frames handed on, on one thread and on two. Many times a second it is
looked at how many threads of the process are running or ready to: that may be no more than `--threads` says, and one that keeps
the books. Now and then a thread is on its way to sleep while another has been woken; more often than in one look of twenty, it is
work beyond what was allowed. --quick leaves the networks out.
"""
import collections
import os
import shutil
import subprocess
import sys
import tempfile
import time

from common import ROOT, Finding, Store

CHAIN = """\
understudy: 1
name: chain
inputs: { film: { type: video } }
nodes:
  frames: { type: video.decode, in: { file: inputs.film } }
  darker: { type: pose.overlay, in: { video: frames.video }, with: { dim: 0.5 } }
  film:   { type: video.encode, in: { video: darker.overlay } }
outputs: { film: film.file }
"""


def ready(process):
    """How many threads are running or ready to; None when the process is over."""
    count = 0
    folder = f"/proc/{process}/task"
    try:
        threads = os.listdir(folder)
    except FileNotFoundError:
        return None
    for thread in threads:
        try:
            with open(f"{folder}/{thread}/stat") as file:
                count += file.read().rpartition(")")[2].split()[0] == "R"
        except (FileNotFoundError, ProcessLookupError):
            pass
    return count


def watch(store, words):
    process = store.start(words)
    looks = collections.Counter()
    while process.poll() is None:
        count = ready(process.pid)
        if count:   # nothing to learn from a look at a process that waits for the disk
            looks[count] += 1
        time.sleep(0.003)
    said = process.stdout.read()
    if process.returncode != 0:
        raise Finding(f"'{' '.join(words[1:])}' ended with status {process.returncode}:\n{said[-2000:]}")
    return looks


def main():
    program, quick = os.path.abspath(sys.argv[1]), "--quick" in sys.argv
    folder = tempfile.mkdtemp(prefix="faults-")
    try:
        film, chain = f"{folder}/film.mp4", f"{folder}/chain.yaml"
        subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=640x360:rate=24:duration={3 if quick else 20}",
             "-pix_fmt", "yuv420p", film], check=True)
        with open(chain, "w") as file:
            file.write(CHAIN)
        jobs = [("a film, stored", [chain, "--input", f"film={film}", "--stream-above", "1T"]),
                ("a film, handed on", [chain, "--input", f"film={film}", "--stream-above", "0"])]
        if not quick:
            jobs.append(("networks", [ROOT / "Graphs/example.yaml"]))
        problems = []
        for threads in (1, 2):
            for title, words in jobs:
                shutil.rmtree(f"{folder}/store", ignore_errors=True)
                store = Store(program, f"{folder}/store")
                looks = watch(store, store.words("run", *words, "--out", store.out, "--threads", threads, "--quiet"))
                total = sum(looks.values())
                over = sum(count for ready, count in looks.items() if ready > threads + 1)
                print(f"{title}, {threads} threads: ready were, in {total} looks, {dict(sorted(looks.items()))}")
                if total < 20:
                    problems.append(f"{title}, {threads} threads: over too soon to see anything")
                if over * 20 > total:
                    problems.append(f"{title}: with --threads {threads}, more threads than that wanted to run in {over} looks of {total}")
        if problems:
            sys.exit("\n".join(problems))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        main()
    except Finding as finding:
        sys.exit(f"error: {finding}")
