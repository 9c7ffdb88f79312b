"""What the fault programs share: the program under test, run in a session of its own, and what it leaves behind."""
import atexit
import hashlib
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent


class Finding(Exception):
    """Something is not as it must be."""


def shim():
    """Compiles calls.c; returns the library's path."""
    compiler = next((found for name in ("clang", "cc", "gcc") if (found := shutil.which(name))), None)
    if compiler is None:
        sys.exit("error: no C compiler found; the Swift toolchain has 'clang'")
    library = pathlib.Path(tempfile.mkdtemp(prefix="faults-")) / "calls.so"
    atexit.register(shutil.rmtree, library.parent, ignore_errors=True)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, FOLDER / "calls.c"], check=True)
    return library


class Store:
    """A cache folder and where outputs go."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)
        self.cache, self.out = self.folder / "cache", self.folder / "out"
        self.folder.mkdir(parents=True, exist_ok=True)

    def words(self, *words):
        return [str(self.program), *map(str, words), "--cache", str(self.cache)]

    def run_words(self, *words):
        return self.words("run", FOLDER / "graph.yaml", "--nodes", FOLDER, "--out", self.out, "--json", *words)

    def start(self, words, environment=None):
        """Starts the program as the leader of a session, so that everything it starts can be found."""
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            cwd=ROOT, env={**os.environ, **(environment or {})}, start_new_session=True)

    def finish(self, words, status=0, environment=None, limit=600):
        """Runs the program to its end; returns what it said."""
        process = self.start(words, environment)
        try:
            said = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            end_session(process.pid)
            raise Finding(f"'{' '.join(words[1:3])}' hung for {limit} s")
        if process.returncode != status:
            raise Finding(f"'{' '.join(words[1:])}' ended with status {process.returncode}:\n{said[-2000:]}")
        return said

    def outputs(self):
        """Digests of the exported files."""
        files = sorted(path for path in self.out.rglob("*") if path.is_file())
        return {str(path.relative_to(self.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def check_clean(self):
        """No temporary file, stale sign of a run or damaged index is left."""
        left = [path for name in ("tmp", "active") for path in (self.cache / name).glob("*")]
        left += [path for path in (self.cache / "checkpoints").glob("*") if not re.fullmatch("[0-9a-f]{64}", path.name)]
        left += [path for path in (self.cache / "actions").glob("*/*") if not re.fullmatch(r"[0-9a-f]{64}\.json", path.name)]
        left += [path for path in (self.cache / "objects").glob("*/*") if not re.fullmatch(r"[0-9a-f]{64}\.[a-z0-9]+", path.name)]
        left += [path for path in self.cache.glob("*") if re.search(r"damaged|new|rebuil", path.name)]
        if left:
            raise Finding("left behind: " + ", ".join(str(path.relative_to(self.cache)) for path in left))
        index = sqlite3.connect(f"file:{self.cache}/index.sqlite?mode=ro", uri=True)
        found = index.execute("PRAGMA integrity_check").fetchall()
        index.close()
        if found != [("ok",)]:
            raise Finding(f"the index is damaged: {found}")


def session(leader):
    """The living processes of a session."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def end_session(leader):
    for process in session(leader):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
