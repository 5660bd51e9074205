"""The demo's picture in README, and what its caption counts: python docs/demo_sheet.py RUN, after `make demo RUN=RUN`.

Cuts the first scenes out of the run's contact sheet, and prints how many variants the checks accepted and why they
rejected the others. Run it again whenever the weights or the checks have changed, and write what it prints into README.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

from s2st_aug.api import open_run

PICTURE = Path(__file__).parent / "images" / "contact_sheet.jpg"
HEIGHT, QUALITY = 1092, 82  # px that hold the title and four scenes, and of the JPEG


def main(run: str) -> None:
    """Cut, write, count."""
    sheet = cv2.imread(str(Path(run) / "contact_sheet.png"))
    cv2.imwrite(str(PICTURE), sheet[:HEIGHT], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    rows = list(open_run(run).rows())
    bad = [row for row in rows if row["status"] != "ok"]
    told = [f"{row['scene_id']}, {row['domain']}: {'; '.join(row['reasons'])}" for row in bad]
    sys.stdout.write("\n".join([f"{len(rows) - len(bad)} of {len(rows)} accepted", *told]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
