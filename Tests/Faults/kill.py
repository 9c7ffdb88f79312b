#!/usr/bin/env python3
"""Kills the program at random instants and checks what is left: kill.py PROGRAM [COUNT] [SEED] [--quick]

Rounds go on until COUNT commands were killed: half of the time between two of its changes of the file system, chosen at random, else at a
random moment; with what it started, or leaving that to end by itself. After that the next run must end with outputs byte for byte
those of an undisturbed run, `cache verify` must find nothing, and no temporary file or stale sign of a run may be left.
--quick leaves the networks out.
"""
import argparse
import collections
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from common import Finding, Store, end_session, session, shim

# The tables of the first version of the index, as stores of that time have them.
OLD_INDEX = """
    CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
    INSERT INTO grdb_migrations VALUES ('1: store and journal');
    CREATE TABLE objects (
        digest TEXT NOT NULL, suffix TEXT NOT NULL, bytes INTEGER NOT NULL,
        modified INTEGER NOT NULL, inode INTEGER NOT NULL,
        created REAL NOT NULL, used REAL NOT NULL, pinned INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (digest, suffix)) WITHOUT ROWID;
    CREATE TABLE actions (
        key TEXT PRIMARY KEY, node TEXT NOT NULL, version INTEGER NOT NULL,
        seconds REAL NOT NULL, outputs TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE products (
        digest TEXT NOT NULL, suffix TEXT NOT NULL, key TEXT NOT NULL,
        PRIMARY KEY (digest, suffix, key)) WITHOUT ROWID;
    CREATE INDEX products_key ON products (key);
    CREATE TABLE sources (
        path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL,
        inode INTEGER NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, graph TEXT NOT NULL, path TEXT NOT NULL,
        lease TEXT NOT NULL, started REAL NOT NULL, ended REAL, status TEXT NOT NULL);
    CREATE INDEX runs_graph ON runs (graph, id);
    CREATE TABLE instances (
        run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node TEXT NOT NULL, idx INTEGER NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL,
        key TEXT, parameters TEXT NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL,
        status TEXT NOT NULL, seconds REAL, policy TEXT NOT NULL, code TEXT, source TEXT, error TEXT,
        PRIMARY KEY (run, node, idx)) WITHOUT ROWID;
    CREATE INDEX instances_node ON instances (node, idx, run);
"""
OLD_OBJECTS = 150


class Torture:
    def __init__(self, program, folder, seed, quick):
        self.program, self.folder, self.quick = program, folder, quick
        self.random = random.Random(seed)
        self.library = str(shim())
        self.store = Store(program, f"{folder}/store")
        self.references = {}
        self.changes = {}    # how many changes of the file system a kind of command makes
        self.seconds = {}    # and how long it takes
        self.kills = 0
        self.tally = collections.Counter()
        self.archive = f"{folder}/run.tar"

    # What is run. An edit stands for a graph that the user changed; its outputs are known from an undisturbed run.

    def edit(self, number):
        if self.quick:
            return ["--to", "count", "--set", f"count.with.seed={number}"]
        return ["--set", f"animate.with.seed={number}", "--set", f"count.with.seed={number}"]

    def reference(self, number):
        if number not in self.references:
            store = Store(self.program, f"{self.folder}/undisturbed")
            store.finish(store.run_words(*self.edit(number)))
            self.references[number] = store.outputs()
        return self.references[number]

    # Killing

    def kill(self, kind, store, words):
        """Kills a command somewhere in its life; says where."""
        if kind not in self.changes:   # once undisturbed, on a copy, to know how long it lives
            copy = f"{self.folder}/copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(store.folder, copy)
            trace, begin = f"{self.folder}/trace", time.monotonic()
            Store(self.program, copy).finish(
                [word.replace(str(store.folder), copy) for word in words], status=1 if kind == "verify" else 0,
                environment={"LD_PRELOAD": self.library, "FAULTS_TRACE": trace})
            self.seconds[kind] = 0.9 * (time.monotonic() - begin)   # being watched takes time too
            self.changes[kind] = len(re.findall(rb"^[WICSARUM]\t\d+:", open(trace, "rb").read(), re.M))
            os.unlink(trace)
            shutil.rmtree(copy)
        environment, delay = {}, None
        if self.random.random() < 0.5:
            number = self.random.randint(1, max(self.changes[kind], 1))
            environment = {"LD_PRELOAD": self.library, "FAULTS_KILL": str(number)}
            place = f"before change {number} of about {self.changes[kind]}"
        else:
            delay = self.random.uniform(0, self.seconds[kind])
            place = f"after {delay * 1000:.0f} ms of about {self.seconds[kind] * 1000:.0f}"
        process = store.start(words, environment)
        if delay is not None:
            try:
                process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                process.kill()
        else:
            # What it started holds its pipes too, so only the process itself is waited for.
            try:
                process.wait(timeout=600)
            except subprocess.TimeoutExpired:
                raise Finding("hung")
            finally:
                if process.poll() is None:
                    end_session(process.pid)
        process.wait()
        process.stdout.close()
        wasKilled = process.returncode == -9
        if not wasKilled and process.returncode != (1 if kind == "verify" else 0):
            raise Finding(f"ended with status {process.returncode} {place}")
        leaves = self.random.random() < 0.5
        orphans = len(session(process.pid))
        if not leaves:
            end_session(process.pid)
        for _ in range(600):   # left alone, they are to end by themselves
            if not session(process.pid):
                break
            time.sleep(0.05)
        else:
            raise Finding("its programs outlived it")
        self.kills += wasKilled
        kind = kind.split()[0]
        self.tally[f"{kind}: killed" if wasKilled else f"{kind}: was over before"] += 1
        if wasKilled and orphans:
            self.tally["programs were left to end by themselves" if leaves else "programs were killed too"] += 1
        return place

    def settle(self, number):
        """The next run, and what must be true after it."""
        verified = self.random.random() < 0.5
        if verified:
            self.store.finish(self.store.words("cache", "verify"))
        said = self.store.finish(self.store.run_words(*self.edit(number)))
        if self.store.outputs() != self.reference(number):
            raise Finding(f"outputs differ from those of an undisturbed run\n{said[-1000:]}")
        if not verified:
            self.store.finish(self.store.words("cache", "verify"))
        self.store.check_clean()

    # Rounds

    def round(self, kind):
        number = self.random.randint(1, 3)
        self.reference(number)
        if kind in ("run", "fresh"):
            if kind == "fresh":
                shutil.rmtree(self.store.folder)
                self.store = Store(self.program, self.store.folder)
            else:
                size = self.random.choice(["0", "300K", "3M", "6M"])
                self.store.finish(self.store.words("cache", "gc", "--max-size", size))
                kind = f"run {size}"
            yield self.kill(kind, self.store, self.store.run_words(*self.edit(number)))
            return self.settle(number)
        self.store.finish(self.store.run_words(*self.edit(number)))
        if kind == "gc":
            yield self.kill(kind, self.store, self.store.words("cache", "gc", "--max-size", "100K"))
        elif kind == "verify":
            objects = sorted((self.store.cache / "objects").glob("*/*"))
            victim = self.random.choice(objects)
            victim.chmod(0o644)
            data = bytearray(victim.read_bytes())
            data[self.random.randrange(len(data) // 2, len(data))] ^= 1
            victim.write_bytes(data)
            yield self.kill(kind, self.store, self.store.words("cache", "verify"))
            # It may not have come so far: then this is what drops the damaged one.
            subprocess.run(self.store.words("cache", "verify"), capture_output=True)
        elif kind == "import":
            exported = self.store.finish(self.store.words("cache", "export", self.archive))
            shutil.rmtree(self.store.folder)
            self.store = Store(self.program, self.store.folder)
            words = self.store.words("cache", "import", self.archive)
            yield self.kill(kind, self.store, words)
            self.store.finish(words)
            said = self.store.finish(self.store.run_words(*self.edit(number)))
            if '"started"' in said and "have left the cache" not in exported:
                raise Finding(f"something ran again after an import:\n{said[-1000:]}")
        elif kind == "export":
            if os.path.exists(self.archive):
                os.unlink(self.archive)
            yield self.kill(kind, self.store, self.store.words("cache", "export", self.archive))
            if os.path.exists(self.archive):
                other = Store(self.program, f"{self.folder}/other")
                other.finish(other.words("cache", "import", self.archive))
                shutil.rmtree(other.folder)
        elif kind == "rebuild":
            for path in self.store.cache.glob("index.sqlite*"):
                path.unlink()
            copy = Store(self.program, f"{self.folder}/rebuilt")
            shutil.rmtree(copy.folder, ignore_errors=True)
            shutil.copytree(self.store.folder, copy.folder)
            wanted = copy.finish(copy.words("cache", "ls")).split("\n")[-2].split(" in ")[0]
            yield self.kill(kind, self.store, self.store.words("cache", "ls"))
            found = self.store.finish(self.store.words("cache", "ls")).split("\n")[-2].split(" in ")[0]
            if found != wanted:
                raise Finding(f"the rebuilt index knows {found}, {wanted} were there")
        elif kind == "migration":
            old = Store(self.program, f"{self.folder}/old")
            shutil.rmtree(old.folder, ignore_errors=True)
            self.make_old(old)
            yield self.kill(kind, old, old.words("cache", "ls"))
            said = old.finish(old.words("cache", "verify"))
            if f"{OLD_OBJECTS} artifacts" not in said:
                raise Finding(f"the migrated store lost something: {said}")
            if "old-graph" not in old.finish(old.words("runs")):
                raise Finding("the migrated store lost its journal")
            old.check_clean()
        self.settle(number)

    def make_old(self, store):
        """A store whose index is of the first version."""
        for name in ("objects", "actions", "tmp", "active", "checkpoints", "logs"):
            (store.cache / name).mkdir(parents=True)
        index = sqlite3.connect(store.cache / "index.sqlite")
        index.execute("PRAGMA journal_mode = WAL")
        index.executescript(OLD_INDEX)
        for number in range(OLD_OBJECTS):
            data = self.random.randbytes(3000)
            digest, key = hashlib.sha256(data).hexdigest(), hashlib.sha256(b"%d" % number).hexdigest()
            path = store.cache / "objects" / digest[:2] / f"{digest}.bin"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            state = path.stat()
            outputs = json.dumps({"file": {"bytes": 3000, "digest": digest, "suffix": "bin", "type": "file"}})
            index.execute("INSERT INTO objects VALUES (?, 'bin', 3000, ?, ?, 1, 1, 0)", (digest, state.st_mtime_ns, state.st_ino))
            index.execute("INSERT INTO actions VALUES (?, 'old.node', 1, 0.5, ?, 1)", (key, outputs))
            index.execute("INSERT INTO products VALUES (?, 'bin', ?)", (digest, key))
        index.execute("INSERT INTO runs VALUES (1, 'old-graph', 'old.yaml', 'none', 1, 2, 'done')")
        index.commit()
        index.close()


def main():
    parser = argparse.ArgumentParser(description="Kills the program at random instants and checks what is left.")
    parser.add_argument("program")
    parser.add_argument("count", nargs="?", type=int, default=300)
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="leave the networks out")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="faults-")
    torture = Torture(os.path.abspath(options.program), folder, options.seed, options.quick)
    # Runs twice as often as the rest together.
    kinds = ["run", "gc", "run", "import", "fresh", "verify", "run", "migration", "fresh", "rebuild", "run", "export"]
    begin = time.monotonic()
    number = -1
    while torture.kills < options.count:
        number += 1
        kind, place = kinds[number % len(kinds)], "before it was killed"
        try:
            for place in torture.round(kind):
                pass
        except Finding as finding:
            sys.exit(f"error: round {number} (seed {options.seed}): '{kind}' killed {place}: {finding}\nthe store is in {folder}/store")
        if sys.stdout.isatty():
            print(f"\r{torture.kills} of {options.count}", end="", flush=True)
        elif number % 10 == 9:
            print(f"{torture.kills} of {options.count} after {time.monotonic() - begin:.0f} s", flush=True)
    shutil.rmtree(folder)
    print(f"\n{torture.kills} kills in {number + 1} rounds and {time.monotonic() - begin:.0f} s; nothing was lost by any")
    for kind, count in sorted(torture.tally.items()):
        print(f"  {count:4}  {kind}")


if __name__ == "__main__":
    main()
