"""Artifacts as safetensors files: frames are read one by one, tracks are written in one piece."""

import json
import mmap
import struct

import numpy as np

DTYPES = {"F32": np.float32, "F64": np.float64, "U8": np.uint8, "I32": np.int32, "I64": np.int64}
NAMES = {np.dtype(v): k for k, v in DTYPES.items()}


class Artifact:
    """A memory-mapped artifact; `self[name]` is an array that reads from the file as it is indexed."""

    def __init__(self, path, kind):
        self._file = open(path, "rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        size = len(self._map)
        length = struct.unpack("<Q", self._map[:8])[0] if size >= 8 else size
        if 8 + length > size:
            raise ValueError(f"{path}: is not a whole safetensors file")
        header = json.loads(self._map[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        found = metadata.get("understudy.type")
        if found != kind:
            raise ValueError(f"{path}: holds a '{found}', '{kind}' expected")
        self.meta = json.loads(metadata.get("understudy.meta", "{}"))
        self._tensors, self._start, self._path = header, 8 + length, path

    def __getitem__(self, name):
        if name not in self._tensors:
            raise ValueError(f"{self._path}: has no tensor '{name}'")
        entry = self._tensors[name]
        dtype = np.dtype(DTYPES[entry["dtype"]])
        begin, end = entry["data_offsets"]
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if end - begin != count * dtype.itemsize or self._start + end > len(self._map):
            raise ValueError(f"{self._path}: tensor '{name}' does not fit its range")
        if (self._start + begin) % dtype.itemsize:
            return np.frombuffer(self._map[self._start + begin : self._start + end], dtype).reshape(entry["shape"])
        return np.frombuffer(self._map, dtype, count, self._start + begin).reshape(entry["shape"])

    def release(self):
        """Lets the pages read so far leave memory."""
        self._map.madvise(mmap.MADV_DONTNEED)


def write(path, kind, meta, tensors):
    """Writes an artifact; `tensors` maps names to arrays, written in that order."""
    header = {
        "__metadata__": {
            "understudy.meta": json.dumps(meta, sort_keys=True, separators=(",", ":")),
            "understudy.type": kind,
        }
    }
    offset = 0
    arrays = []
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        header[name] = {
            "data_offsets": [offset, offset + array.nbytes],
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
        }
        offset += array.nbytes
        arrays.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for array in arrays:
            file.write(array.tobytes())
