"""Writes the migrations of both databases as rows of a C table: engine, number, name, SHA-256 of the file, text."""
import hashlib
import pathlib
import sys

root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def c_string(text):
    lines = text.splitlines(keepends=True)
    escape = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    return "\n".join('    "' + "".join(escape.get(c, c) for c in line) + '"' for line in lines)


rows = []
for path in sorted(root.glob("*/*.sql")):
    text = path.read_text(encoding="ascii")
    number, name = path.stem.split("_", 1)
    digest = hashlib.sha256(text.encode()).hexdigest()
    rows.append(f'{{"{path.parent.name}", {int(number)}, "{name}", "{digest}",\n{c_string(text)}}},\n')
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text("".join(rows))
