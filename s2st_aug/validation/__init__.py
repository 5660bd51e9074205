"""Is the label still true? Measures and verdicts of METHOD.md and CONTRACT.md; imports neither `translation` nor `diffusion`."""
