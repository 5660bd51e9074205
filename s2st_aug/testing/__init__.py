"""Public stand-ins for models, methods, datasets and runs, for tests and benchmarks; the product imports none."""
