#!/usr/bin/env python3
"""Checks that a run keeps to its threads: threads.py PROGRAM [--quick]

Networks, decoding and encoding, with everything stored and with frames handed on, on one thread and on two. In no stretch of a third of a
second may the process take more processor time than `--threads` says, and half a thread to keep the books and to sync
files. On a busy machine it takes less: that is no finding. How many threads are running or ready is counted beside it, to be read: there
it depends on what else goes on. --quick leaves the networks out.
"""
import collections
import os
import shutil
import subprocess
import sys
import tempfile
import time

from common import ROOT, Finding, Store

# Seconds over which processor time is counted, which the system gives in hundredths.
STRETCH = 1 / 3
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


def processor_seconds(process):
    """What a process has taken so far; None when it is over."""
    try:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def watch(store, words):
    """How many threads were ready, by how often; and the most threads' worth of processor time in any stretch."""
    process = store.start(words)
    looks, most, marks = collections.Counter(), 0.0, collections.deque()
    while process.poll() is None:
        count = ready(process.pid)
        if count:   # nothing to learn from a look at a process that waits for the disk
            looks[count] += 1
        taken, now = processor_seconds(process.pid), time.monotonic()
        if taken is not None:
            marks.append((now, taken))
            while now - marks[0][0] > STRETCH:
                since, before = marks.popleft()
                most = max(most, (taken - before) / (now - since))
        time.sleep(0.003)
    said = process.stdout.read()
    if process.returncode != 0:
        raise Finding(f"'{' '.join(words[1:])}' ended with status {process.returncode}:\n{said[-2000:]}")
    return looks, most


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
                looks, most = watch(store, store.words("run", *words, "--out", store.out, "--threads", threads, "--quiet"))
                total = sum(looks.values())
                print(f"{title}, {threads} threads: {most:.2f} threads' time at most; ready were, in {total} looks, {dict(sorted(looks.items()))}")
                if most == 0:
                    problems.append(f"{title}, {threads} threads: over too soon to see anything")
                if most > threads + 0.5:
                    problems.append(f"{title}: with --threads {threads}, {most:.2f} threads' worth of processor time was taken")
        if problems:
            sys.exit("\n".join(problems))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        main()
    except Finding as finding:
        sys.exit(f"error: {finding}")
