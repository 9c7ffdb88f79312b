import json
import os
import struct
import sys
import time


def read(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


request = json.load(open(sys.argv[1]))
parameters = request["parameters"]
total = float(parameters["seed"])
for path in request["inputs"].get("before", []):
    total += struct.unpack("<d", read(path)[1][:8])[0]
header, data = read(request["inputs"]["video"][0])
begin, end = header["frames"]["data_offsets"]
total += sum(data[begin:end])
print(json.dumps({"progress": {"done": 1, "total": 2}}), flush=True)
time.sleep(parameters["seconds"])
meta = json.dumps({"columns": [{"name": "sum", "unit": ""}], "labels": [""]}, sort_keys=True)
head = json.dumps({"__metadata__": {"understudy.type": "table", "understudy.meta": meta},
                   "values": {"dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8]}}).encode()
with open(request["outputs"]["table"], "wb") as file:
    file.write(struct.pack("<Q", len(head)) + head + struct.pack("<d", total))
if parameters["journal"]:
    with open(parameters["journal"], "a") as file:
        file.write("%d %.17g\n" % (os.getpid(), total))
