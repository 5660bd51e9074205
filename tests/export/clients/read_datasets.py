"""Run by the venv of Hugging Face datasets: its ImageFolder over an export's images and metadata.jsonl."""

import json
import sys
import tempfile
from pathlib import Path

from datasets import load_dataset

root = Path(sys.argv[1])
names = [json.loads(line)["file_name"] for line in (root / "metadata.jsonl").read_text().splitlines()]
files = [str(root / "metadata.jsonl"), *(str(root / name) for name in names)]
with tempfile.TemporaryDirectory() as cache:
    data = load_dataset("imagefolder", data_files=files, split="train", cache_dir=cache)
    rows = sorted((row["scene_id"], row["source"], *row["image"].size) for row in data)
print(json.dumps({"rows": rows, "columns": data.column_names}))
