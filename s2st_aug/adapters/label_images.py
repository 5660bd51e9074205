"""Label images (masks, ids): decoded unchanged in depth and channels, refused by size before memory is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from s2st_aug.adapters.run_lengths import PIXEL_LIMIT
from s2st_aug.errors import LabelError


def read_label_image(path: Path) -> np.ndarray:
    """Pixels `h w` (8 or 16 bit) or `h w c` in RGB(A) order; a palette image gives its indices. Raises LabelError."""
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                if image.width * image.height > PIXEL_LIMIT:
                    raise LabelError(f"{path}: {image.width}x{image.height} is larger than {PIXEL_LIMIT} pixels")
                return np.array(image)
        except LabelError:
            raise
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise LabelError(f"{path}: cannot be read as an image: {' '.join(str(error).split())[:120]}") from None
