"""What Ray Data's own checkpointing does with a failed row and with a plan that is no file.

Why the commit marks are ours.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:The minimum number of concurrent actors"
    ),  # a resumed run has no row left for its actor
]


class Works:
    """Notes every row that it is given; row 1 fails."""

    def __init__(self, seen: Path) -> None:
        self.seen = seen

    def __call__(self, table: pa.Table) -> pa.Table:
        for key in table["id"].to_pylist():
            with (self.seen / str(key)).open("a") as file:
                file.write("x")
        return table.append_column(
            "status", pa.array(["failed" if key == 1 else "ok" for key in table["id"].to_pylist()])
        )


@pytest.fixture
def checkpointed(ray_here, tmp_path):
    """`run(dataset)`: through the stage to a Parquet sink under Ray's checkpointing.

    How often each row was worked on.
    """
    from ray.data import DataContext
    from ray.data.checkpoint import CheckpointConfig

    context = DataContext.get_current()
    before = context.checkpoint_config
    context.checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=str(tmp_path / "marks"), delete_checkpoint_on_success=False
    )
    (tmp_path / "seen").mkdir()
    (tmp_path / "marks").mkdir()

    def run(dataset):
        works = dataset.map_batches(
            Works,
            fn_constructor_args=(tmp_path / "seen",),
            batch_format="pyarrow",
            batch_size=1,
            num_cpus=0.5,
            concurrency=1,
        )
        works.write_parquet(str(tmp_path / "out"))
        return {p.name: len(p.read_text()) for p in sorted((tmp_path / "seen").iterdir())}

    try:
        yield run
    finally:
        context.checkpoint_config = before


def test_a_failed_row_counts_as_done_and_is_never_tried_again(checkpointed, tmp_path):
    import ray.data

    pq.write_table(pa.table({"id": [0, 1, 2]}), tmp_path / "plan.parquet")
    assert checkpointed(ray.data.read_parquet(str(tmp_path / "plan.parquet"))) == {"0": 1, "1": 1, "2": 1}
    assert checkpointed(ray.data.read_parquet(str(tmp_path / "plan.parquet"))) == {"0": 1, "1": 1, "2": 1}


def test_without_a_read_nothing_is_remembered(checkpointed):
    import ray.data

    items = [{"id": 0}, {"id": 1}]
    assert checkpointed(ray.data.from_items(items)) == {"0": 1, "1": 1}
    assert checkpointed(ray.data.from_items(items)) == {"0": 2, "1": 2}
