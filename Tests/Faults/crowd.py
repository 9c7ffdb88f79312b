#!/usr/bin/env python3
"""Lets eight processes share a cache, and kills one: crowd.py PROGRAM [ROUNDS] [--quick]

They run overlapping graphs at once. Each result must be made by one of them only (but for what the killed one had in hand), all
outputs must be those of undisturbed runs, and no sign of a run may be left. --quick leaves the networks out.
"""
import collections
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time

from common import Finding, Store, end_session

PROCESSES, EDITS = 8, 3


def words(store, out, edit, journal, quick):
    part = ["--to", "count"] if quick else ["--set", f"animate.with.seed={edit}"]
    return store.words(
        "run", "Tests/Faults/graph.yaml", "--nodes", "Tests/Faults", "--out", out, "--json", "--threads", "1", *part,
        "--set", f"count.with.seed={edit}", "--set", f"count.with.journal={journal}", "--set", "count.with.seconds=0.2")


def made(said):
    """The instances that a run made itself, as its events tell."""
    found = []
    for line in said.splitlines():
        event = json.loads(line).get("finished") if line.startswith("{") else None
        if event and not event["cached"]:
            instance = event["_0"]
            found.append((instance["node"], instance.get("index")))
    return found


def round(program, folder, dice, quick):
    references = {}
    for edit in range(EDITS):
        store = Store(program, f"{folder}/undisturbed")
        store.finish(words(store, store.out, edit, f"{folder}/ignored", quick))
        references[edit] = store.outputs()
    store, journal = Store(program, f"{folder}/crowd"), f"{folder}/journal"
    runs, said = [], {}
    for number in range(PROCESSES):
        out = Store(program, f"{folder}/out{number}")
        out.cache, edit = store.cache, number % EDITS
        runs.append((out, edit, out.start(words(out, out.out, edit, journal, quick))))
    # Their output has to be read while they run.
    readers = [threading.Thread(target=lambda n=n, run=run: said.__setitem__(n, run[2].communicate()[0])) for n, run in enumerate(runs)]
    for reader in readers:
        reader.start()
    victim = dice.randrange(PROCESSES)
    time.sleep(dice.uniform(0.2, 1.5))
    wasRunning = runs[victim][2].poll() is None
    runs[victim][2].kill()
    for reader in readers:
        reader.join(timeout=600)
    for out, edit, process in runs:
        if process.poll() is None:
            end_session(process.pid)
            raise Finding("a process hung")
    counts = collections.Counter()
    for number, (out, edit, process) in enumerate(runs):
        if number == victim and wasRunning:
            continue
        if process.returncode != 0:
            raise Finding(f"process {number} ended with status {process.returncode}:\n{said[number][-2000:]}")
        if out.outputs() != references[edit]:
            raise Finding(f"the outputs of process {number} differ from those of an undisturbed run")
        for node, index in made(said[number]):
            # What the edit changes has a result per edit.
            own = edit if node in ("count", "animate", "decode", "film") else None
            counts[node, index, own] += 1
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise Finding(f"made by more than one process: {twice}")
    # The external program notes each go itself: once per result, and at most once more for what the killed process had begun.
    goes = collections.Counter(line.split()[1] for line in open(journal))
    if sum(goes.values()) > len(goes) + (1 if wasRunning else 0) or max(goes.values()) > 2:
        raise Finding(f"an external program ran more often than it had to: {goes}")
    store.finish(store.words("cache", "verify"))
    store.check_clean()
    return wasRunning, sum(counts.values())


def main():
    quick = "--quick" in sys.argv
    numbers = [int(word) for word in sys.argv[2:] if word.isdigit()]
    dice, begin, killed, results = random.Random(1), time.monotonic(), 0, 0
    for _ in range(rounds := (numbers + [5])[0]):
        folder = tempfile.mkdtemp(prefix="faults-")
        wasRunning, count = round(os.path.abspath(sys.argv[1]), folder, dice, quick)
        killed += wasRunning
        results += count
        shutil.rmtree(folder)
    print(f"{rounds} rounds of {PROCESSES} processes in {time.monotonic() - begin:.0f} s: {killed} were killed midway; "
          f"the others made {results} results, none twice")


if __name__ == "__main__":
    try:
        main()
    except Finding as finding:
        sys.exit(f"error: {finding}")
