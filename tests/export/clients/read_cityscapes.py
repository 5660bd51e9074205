"""Run by the venv of cityscapesscripts: its own evaluation of an export, and its own drawing of the polygons.

The export is held against itself, or against the source that it came from (a second folder).
"""

import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as pixels
from cityscapesscripts.helpers.csHelpers import getCsFileInfo
from cityscapesscripts.preparation.json2instanceImg import json2instanceImg
from cityscapesscripts.preparation.json2labelImg import json2labelImg
from PIL import Image

root = Path(sys.argv[1])
truths = sorted(str(p) for p in root.glob("gtFine/*/*/*_gtFine_labelIds.png"))
pixels.args.quiet, pixels.args.JSONOutput = True, False
asked = truths
if len(sys.argv) > 2:  # `aachen_000000_000019-night_gtFine_labelIds.png` is told by the source's file without `-night`
    truths = [str(Path(sys.argv[2]) / re.sub(r"-\w+(?=_gtFine_)", "", str(Path(p).relative_to(root)))) for p in asked]
result = pixels.evaluateImgLists(asked, truths, pixels.args)
same = []
for path in sorted(str(p) for p in root.glob("gtFine/*/*/*_gtFine_polygons.json")):
    for kind, draw in (("labelIds", json2labelImg), ("instanceIds", json2instanceImg)):
        ours = path.replace("polygons.json", kind + ".png")
        if Path(ours).exists():
            with tempfile.NamedTemporaryFile(suffix=".png") as drawn:
                draw(path, drawn.name, "ids")
                same.append(bool((np.array(Image.open(drawn.name)) == np.array(Image.open(ours))).all()))
cities = [getCsFileInfo(p).city for p in truths]
print(
    json.dumps(
        {
            "n": len(truths),
            "iou": result["averageScoreClasses"],
            "iiou": result["averageScoreInstClasses"],
            "same": same,
            "cities": cities,
        }
    )
)
