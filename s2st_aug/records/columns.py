"""One place for what a Parquet column is: a record's annotated fields give its Arrow schema and its documentation."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

SCALARS: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """What a record's field holds, as `Annotated[type, Column(...)]`."""

    meaning: str
    unit: str = ""  # unit or range, where the type does not say it
    null: str = ""  # when it is null; empty: never
    arrow: pa.DataType | None = None  # where Python's type leaves it open, such as the width of an integer


@dataclass(frozen=True, slots=True)
class ColumnEntry:
    """One column as a reference page lists it; `parts` are the columns of each struct in it."""

    name: str
    type: pa.DataType
    column: Column
    words: tuple[str, ...] = ()  # the values that a column of words can hold
    parts: tuple[ColumnEntry, ...] = ()


def columns_of(record: type) -> tuple[ColumnEntry, ...]:
    """A record's columns in order.

    Raises TypeError for a field without a `Column`, or with a null rule that its type denies.
    """
    return tuple(_entries(record))


def arrow_struct(record: type) -> pa.StructType:
    """The Arrow struct of a record that lies inside another one's column."""
    return pa.struct([(entry.name, entry.type) for entry in columns_of(record)])


def arrow_schema(record: type, metadata: dict[str, str] | None = None) -> pa.Schema:
    """The Arrow schema of a record: a column may be null where its `Column` says when."""
    fields = [pa.field(e.name, e.type, nullable=bool(e.column.null)) for e in columns_of(record)]
    return pa.schema(fields, metadata=metadata)


def _entries(record: type) -> Iterator[ColumnEntry]:
    hints = get_type_hints(record, include_extras=True)
    for field in dataclasses.fields(record):
        hint = hints[field.name]
        column = next((a for a in get_args(hint)[1:] if isinstance(a, Column)), None)
        if get_origin(hint) is not Annotated or column is None:
            raise TypeError(f"{record.__name__}.{field.name} has no Column")
        kind, nullable = _without_none(get_args(hint)[0])
        if nullable != bool(column.null):
            raise TypeError(f"{record.__name__}.{field.name}: its null rule and its type {hint} disagree")
        inner = _element(kind)
        words = get_args(inner) if get_origin(inner) is Literal else ()
        parts = columns_of(inner) if isinstance(inner, type) and dataclasses.is_dataclass(inner) else ()
        yield ColumnEntry(field.name, column.arrow or _arrow_type(kind), column, words, parts)


def _without_none(kind: Any) -> tuple[Any, bool]:
    """The type beside None, and whether None was there."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind, False
    (rest,) = (arg for arg in get_args(kind) if arg is not type(None))
    return rest, True


def _element(kind: Any) -> Any:
    """What a tuple is made of; anything else is itself."""
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def _arrow_type(kind: Any) -> pa.DataType:
    if get_origin(kind) is tuple:
        return pa.list_(_arrow_type(_element(kind)))
    if get_origin(kind) is Literal:
        return pa.string()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return arrow_struct(kind)
    return SCALARS[kind]
