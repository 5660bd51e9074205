"""Is the label still true? Measures (docs/method.md#measures) and verdicts (docs/validity.md).

Imports neither `translation` nor `diffusion`: never judge with what you optimised.
"""
