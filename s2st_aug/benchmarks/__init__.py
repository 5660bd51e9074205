"""Every measured figure of the contract: one file per suite, each with `run(*, quick) -> Iterator[Figure]`."""
