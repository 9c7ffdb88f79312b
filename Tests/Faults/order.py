#!/usr/bin/env python3
"""Checks what a loss of power could do: order.py PROGRAM [--quick]

Runs the graph, an edit of it and an import with a library preloaded that records every write, sync and rename. Whatever is
written to the index may be on the disk from then on, whatever was not synced may not: so when a record of the index names an
artifact, its bytes, its name and its folder must have been synced before, and when it tells of an exported file, that file's
bytes. --quick leaves the networks out.
"""
import contextlib
import os
import re
import shutil
import sqlite3
import sys
import tempfile

from common import Finding, Store, shim


def records(path):
    data = open(path, "rb").read()
    place = 0
    while place < len(data):
        end = data.index(b"\n", place)
        kind, file, first, second, length = data[place:end].decode(errors="surrogateescape").split("\t")
        content = data[end + 1:end + 1 + int(length)] if kind == "I" else b""
        place = end + 1 + len(content)
        yield kind, file, first, second, content


def held(store):
    """Names of small artifacts: the index holds their bytes itself, and a file of them may be lost."""
    with contextlib.closing(sqlite3.connect(f"file:{store.cache}/index.sqlite?mode=ro", uri=True)) as db:
        return {row[0] for row in db.execute("SELECT digest FROM objects WHERE data IS NOT NULL")}


def check(trace, held, forget=()):
    """What the index names too early, and how often it named anything. `forget` leaves out records: then it must find something."""
    unsynced, files, names, findings, named = set(), {}, set(), set(), 0
    entries = set()   # names whose folder has not been synced since they were made
    for kind, file, first, second, content in records(trace):
        if kind in forget:
            continue
        if kind in "WC":
            unsynced.add(file)
            if kind == "C":
                entries.add(first)
                names.add(first)
                files[first] = file
        elif kind == "S":
            unsynced.discard(file)
            entries -= {name for name in entries if os.path.dirname(name) == first}
        elif kind == "A":
            unsynced.clear()
            entries.clear()
        elif kind in "RM":
            name = second or first
            entries.add(name)
            names.add(name)
            files[name] = file
        elif kind == "U":
            names.discard(first)
        elif kind == "I":
            found = {match.group().decode() for match in re.finditer(rb"[0-9a-f]{64}", content)} - held
            objects = [name for name in names if "/objects/" in name and os.path.basename(name).partition(".")[0] in found]
            exported = [name for name in names if files[name] in unsynced and b"output:" + os.fsencode(name) in content]
            findings |= {f"the index tells of '{name}' before its bytes were synced" for name in exported if not os.path.isdir(name)}
            for name in objects:
                named += 1
                if files[name] in unsynced:
                    findings.add(f"the index names '{name}' before its bytes were synced")
                above = [name, os.path.dirname(name), os.path.dirname(os.path.dirname(name))]
                findings |= {f"the index names '{name}' before the folder of '{step}' was synced" for step in above if step in entries}
    return findings, named


def main():
    program = os.path.abspath(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="faults-")
    try:
        library = shim()
        part = ["--to", "count"] if "--quick" in sys.argv else []
        store, other = Store(program, f"{folder}/one"), Store(program, f"{folder}/two")
        jobs = [
            ("a run", store, store.run_words(*part)),
            # Of frames: what `count` makes is so small that the index holds it itself.
            ("a run after an edit", store, store.run_words("--set", "frames.with.end=0.6", *part)),
            ("a run after a collection", store, store.run_words("--set", "count.with.seed=6", *part)),
            ("an import", other, other.words("cache", "import", f"{folder}/run.tar")),
        ]
        problems = []
        for title, place, words in jobs:
            if "collection" in title:
                place.finish(place.words("cache", "gc", "--max-size", "1M"))
            if "import" in title:
                store.finish(store.words("cache", "export", f"{folder}/run.tar"))
            trace = f"{folder}/trace"
            place.finish(words, environment={"LD_PRELOAD": str(library), "FAULTS_TRACE": trace})
            small = held(place)
            findings, named = check(trace, small)
            problems += [f"{title}: {finding}" for finding in sorted(findings)]
            # The check must be able to see a sync that is missing.
            if named == 0:
                problems.append(f"{title}: the index names nothing that was recorded; the check does not see what happens")
            elif not check(trace, small, forget="SA")[0]:
                problems.append(f"{title}: syncs that are left out are not missed; the check does not see what happens")
            print(f"{title}: the index names artifacts {named} times, {len(findings)} times too early")
            os.unlink(trace)
        if problems:
            sys.exit("\n".join(problems))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        main()
    except Finding as finding:
        sys.exit(f"error: {finding}")
