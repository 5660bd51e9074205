"""Public stand-ins for models, methods, datasets and runs, for tests and benchmarks. The product imports none of them."""
