"""The manifest's schema and its documentation are both made of `ManifestRow`'s fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from schema_1 import FIXTURES

from s2st_aug import errors
from s2st_aug.records.columns import Column, arrow_schema, columns_of
from s2st_aug.records.manifest import MANIFEST_SCHEMA, ManifestRow
from s2st_aug.records.verdicts import Hallucination, ObjectVerdict


def test_every_column_of_schema_1_is_there_with_its_type_and_null_rule():
    (path,) = (FIXTURES / "street/manifest/.old/0").glob("failed.parquet")
    for old in pq.read_schema(path):
        new = MANIFEST_SCHEMA.field(old.name)
        assert new.nullable == old.nullable, old.name
        if not pa.types.is_list(old.type) or not pa.types.is_struct(old.type.value_type):
            assert new.type == old.type, old.name
            continue
        kept = {f.name: f.type for f in new.type.value_type}
        assert {f.name: kept[f.name] for f in old.type.value_type} == {f.name: f.type for f in old.type.value_type}


@pytest.mark.parametrize("record", [ManifestRow, ObjectVerdict, Hallucination])
def test_every_column_says_what_it_holds_and_measures_say_their_unit(record):
    for entry in columns_of(record):
        assert entry.column.meaning
        if pa.types.is_floating(entry.type):
            assert entry.column.unit or entry.name.endswith("_evals"), entry.name


def test_words_come_from_the_type():
    by_name = {entry.name: entry for entry in columns_of(ManifestRow)}
    assert by_name["status"].words == ("ok", "rejected", "failed")
    assert "hallucination" in by_name["rejected_by"].words
    assert by_name["failure"].words == get_args(errors.FailureKind)
    assert {part.name for part in by_name["objects"].parts} >= {"cause", "around", "verdict"}


def test_a_types_parts_decide_arrows():
    @dataclass
    class Inner:
        box: Annotated[tuple[float, float], Column("a corner")]
        kind: Annotated[Literal["a", "b"] | None, Column("which", null="none")] = None

    globals()["Inner"] = Inner

    @dataclass
    class Outer:
        inner: Annotated[tuple[Inner, ...], Column("some")]
        count: Annotated[int | None, Column("how many", null="unknown", arrow=pa.int32())] = None

    schema = arrow_schema(Outer)
    assert schema.field("count") == pa.field("count", pa.int32())
    struct = pa.struct([("box", pa.list_(pa.float64())), ("kind", pa.string())])
    assert schema.field("inner") == pa.field("inner", pa.list_(struct), nullable=False)


def test_a_column_that_says_nothing_or_contradicts_its_type_is_refused():
    @dataclass
    class Bare:
        a: str

    @dataclass
    class NeverNull:
        a: Annotated[str | None, Column("may be null by its type alone")]

    @dataclass
    class SometimesNull:
        a: Annotated[str, Column("never null by its type", null="now and then")]

    for record, said in ((Bare, "has no Column"), (NeverNull, "disagree"), (SometimesNull, "disagree")):
        with pytest.raises(TypeError, match=said):
            columns_of(record)


def test_each_class_of_failure_has_its_word():
    def tree(kind: type[errors.SampleError]) -> list[type[errors.SampleError]]:
        return [kind, *(c for child in kind.__subclasses__() for c in tree(child))]

    classes = [c for c in tree(errors.SampleError) if c.__module__ == errors.__name__]
    assert sorted(c.failure for c in classes) == sorted(get_args(errors.FailureKind)), "one class a word"
