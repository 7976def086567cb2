"""Turns api/openapi.yaml into a C string constant that holds the same document as JSON."""
import json
import pathlib
import sys

import yaml

document = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), default=str)
# Pieces, because C guarantees only short string literals; adjacent pieces become one array of bytes.
data = text.encode()
out = pathlib.Path(sys.argv[2])
out.parent.mkdir(parents=True, exist_ok=True)
rows = ",\n".join(",".join(str(b) for b in data[i:i + 64]) for i in range(0, len(data), 64))
out.write_text(rows + "\n")
