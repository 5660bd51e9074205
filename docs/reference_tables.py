"""Tables of the reference pages, made from the package's own code; docs/hooks.py puts them where a marker stands.

A command's options come from the command itself, a config's keys from the record that checks it, a column from the
record that makes the Parquet schema. What has no words there raises KeyError, so that no table can be incomplete.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

UNIT = re.compile(r"^(.*?)\s*\[([^\[\]]+)\]$", re.S)
"""A key's description, with its unit in brackets at the end."""
CONFIGS = {
    None: ("s2st_aug.config", "AugmentConfig"),
    "gain": ("s2st_aug.gain.config", "GainConfig"),
    "training": ("s2st_aug.training.recipe", "TrainingConfig"),
    "aligned": ("s2st_aug.training.aligned_recipe", "AlignedConfig"),
    "light_map": ("s2st_aug.training.light_map", "LightMapSettings"),
    "profiles": ("s2st_aug.profiles.recipe", "ProfileRecipe"),
    "card": ("s2st_aug.formats.base", "Card"),
}
COLUMNS = {
    "manifest": ("s2st_aug.records.manifest", "ManifestRow"),
    "objects": ("s2st_aug.records.verdicts", "ObjectVerdict"),
    "hallucinations": ("s2st_aug.records.verdicts", "Hallucination"),
    "decisions": ("s2st_aug.storage.decisions", "Decision"),
}
RECORDS = {
    "progress": ("s2st_aug.storage.progress", "Snapshot"),
    "run_json": ("s2st_aug.storage.run_folder", "RunInfo"),
}
EXIT_CODES = {
    "EXIT_OK": "success; rejected variants are no failure",
    "EXIT_SOME_FAILED": "the run ended and some samples failed (they are listed)",
    "EXIT_USAGE": "wrong usage, config, model or dataset, or an input path that does not exist: nothing was started",
    "EXIT_CHECK": "a check did not hold (`verify`, `doctor`); of an unfinished run, `verify` says how much is there",
    "EXIT_STOPPED": "stopped early (Ctrl-C, a signal, a drained cluster, a full disk): the same command resumes",
}
ENVIRONMENT = {
    "S2ST_AUG_DATA": "folder of real photos; `${S2ST_AUG_DATA}` in a config stands for it",
    "S2ST_AUG_REVIEWER": "the name that decisions in FiftyOne are stored under; default: the user's",
    "S2ST_MIRROR": "folder for copies of images that lie in a bucket; default: the system's folder for temporary files",
    "RAY_ADDRESS": "a running Ray that `augment` joins, as `--address` does",
    "XDG_CACHE_HOME": "below it are the results of models' self-tests; default: `~/.cache`",
}
"""Variables of the environment that the package reads; those of Ray, FiftyOne and the hub that it passes on aside."""
TYPES = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}


def commands(_: str | None) -> str:
    """The list of commands, from the table that registers them."""
    from s2st_aug.cli import COMMANDS

    rows = ((f"[`s2st-aug {name}`](#{anchor(name)})", line) for name, (_, line) in COMMANDS.items())
    return table(("command", "what"), rows)


def command_options(_: str | None) -> str:
    """Every command with its usage, its arguments and its options; a heading each."""
    from s2st_aug.cli import ALIASES, COMMANDS

    parts = []
    for name in COMMANDS:
        command = find_command(name)
        rows = [option_row(p) for p in command.params if not getattr(p, "hidden", False)]
        usage = " ".join(["s2st-aug", name, "[OPTIONS]", *(metavar(p) for p in command.params if is_argument(p))])
        also = [f"`--{p.name}` is accepted too." for p in command.params if is_former(p)]
        also += [f"`s2st-aug {old}` is accepted too." for old, new in ALIASES.items() if new == name]
        head = f"## s2st-aug {name} {{#{anchor(name)}}}\n\n```\n{usage}\n```"
        told = table(("argument or option", "value", "default", "what"), rows)
        parts.append("\n\n".join([head, inspect.cleandoc(command.help or ""), told, *also]))
    return "\n\n".join(parts)


def anchor(command: str) -> str:
    """The anchor of a command's heading."""
    return command.replace(" ", "-")


def find_command(name: str) -> Any:
    """A command of the tree by its words, with its options."""
    from s2st_aug.cli import build_group, load

    *groups, leaf = name.split(" ")
    parent: Any = build_group()
    for group in groups:
        parent = parent.commands[group]
    return load(parent.commands[leaf])


def is_argument(parameter: Any) -> bool:
    """Whether it stands at its place, without a name before it."""
    return parameter.param_type_name == "argument"


def is_former(parameter: Any) -> bool:
    """Whether it is the older spelling of an option: hidden, and it says so."""
    return getattr(parameter, "hidden", False) and "ormer" in (getattr(parameter, "help", None) or "")


def metavar(parameter: Any) -> str:
    """An argument as usage shows it: `RUN`, `IMAGE...`."""
    many = parameter.nargs == -1
    name = (parameter.metavar or parameter.name.upper()).removesuffix("...") + ("..." if many else "")
    return name if parameter.required else f"[{name}]"


def option_row(parameter: Any) -> tuple[str, str, str, str]:
    """Names, value, default and meaning of an option or argument; raises KeyError where its meaning is not said."""
    names = metavar(parameter).strip("[]") if is_argument(parameter) else ", ".join(
        [*parameter.opts, *parameter.secondary_opts]
    )  # fmt: skip
    if not parameter.help:
        raise KeyError(f"{names} has no help")
    flag = getattr(parameter, "is_flag", False)
    annotation = parameter.type_descriptor.annotation
    kind = "flag" if flag else shown(get_args(annotation)[0] if get_origin(annotation) is list else annotation)
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    between = "" if low is None and high is None else f", {bounds(low, high)}"
    again = ", may be repeated" if parameter.multiple or parameter.nargs == -1 else ""
    return f"`{names}`", f"{kind}{between}{again}", default_of(parameter, flag=flag), escaped(parameter.help)


def default_of(parameter: Any, *, flag: bool) -> str:
    """An option's default as a reader would give it."""
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return f"`{parameter.show_default}`"
    if flag or parameter.default in (None, "", ()):
        return "off" if flag and not parameter.default else ""
    value = parameter.default
    return f"`{value.value if hasattr(value, 'value') else value}`"


def escaped(text: str) -> str:
    """Text whose `<words>` are words, not tags."""
    parts = text.split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))


def exit_codes(_: str | None) -> str:
    """What each exit code means, and the errors that end in it."""
    from s2st_aug import errors

    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.S2STError)]
    known = {name: code for name, code in vars(errors).items() if name.startswith("EXIT_") and isinstance(code, int)}
    rows = (
        (code, words_of(name, EXIT_CODES), ", ".join(f"`{e.__name__}`" for e in found if e.exit_code == code) or "none")
        for name, code in sorted(known.items(), key=lambda pair: pair[1])
    )
    return table(("code", "means", "errors"), rows)


def environment(_: str | None) -> str:
    """Every variable of the environment that the package reads."""
    return table(("variable", "what"), ((f"`{name}`", what) for name, what in ENVIRONMENT.items()))


def columns(name: str | None) -> str:
    """Every column of a stored table: type, meaning, unit or values, and when it is null."""
    from s2st_aug.records.columns import columns_of

    rows = (
        (
            f"`{c.name}`",
            f"`{arrow_name(c.type)}`",
            c.column.meaning,
            ", ".join(f"`{w}`" for w in c.words) or c.column.unit,
            c.column.null or "never",
        )
        for c in columns_of(find(COLUMNS[name or "manifest"]))
    )
    return table(("column", "type", "what", "unit or values", "null where"), rows)


def arrow_name(kind: pa.DataType) -> str:
    """A Parquet type in short: a list of structs is a list of struct, whatever is in them."""
    if pa.types.is_list(kind):
        return f"list of {arrow_name(kind.value_type)}"
    return {"double": "float64", "string": "text"}.get(str(kind), str(kind).partition("<")[0].partition("[")[0])


def words(name: str | None) -> str:
    """The values of a type of words in records/verdicts.py or errors.py, each with the comment beside it."""
    modules = (importlib.import_module(f"s2st_aug.{module}") for module in ("records.verdicts", "errors"))
    sources = "\n".join(inspect.getsource(module) for module in modules)
    found = re.search(rf"^{name} = Literal\[\n(.*?)^\]", sources, re.S | re.M)
    if found is None:
        raise KeyError(f"neither records/verdicts.py nor errors.py has a list of words {name}")
    told = re.findall(r'^ +"(\w+)",?  # (.+)$', found[1], re.M)
    return table(("value", "means"), ((f"`{value}`", what) for value, what in told))


def record(name: str | None) -> str:
    """Every field of a record that is written as JSON, with what its own source says of it."""
    kind = find(RECORDS[name or "progress"])
    told = said_of(kind)
    rows = ((f"`{f.name}`", json_name(str(f.type)), words_of(f.name, told)) for f in dataclasses.fields(kind))
    return table(("key", "type", "what"), rows)


def said_of(kind: type) -> dict[str, str]:
    """What stands beside or below each field of a class: a comment on its line, or a string under it."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines, (tree,) = source.splitlines(), ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    told: dict[str, str] = {}
    for statement, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        under = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and str(below.value.value)
        beside = lines[(statement.end_lineno or 1) - 1].partition("  # ")[2]
        if under or beside:
            told[statement.target.id] = " ".join((under or beside).split())
    return told


def json_name(annotation: str) -> str:
    """A field's type as JSON has it."""
    spelled = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "State": "text"}
    kinds = {"dict": "object", "tuple": "list", "None": "null"}
    parts = (part.strip().partition("[")[0] for part in annotation.split("|"))
    return " or ".join({**spelled, **kinds}[part] for part in parts)


def words_of(key: str, known: dict[str, str]) -> str:
    """What is known of a key; raises KeyError for one that the code has and nothing explains."""
    if key not in known:
        raise KeyError(f"nothing explains {key}")
    return known[key]


def config(name: str | None) -> str:
    """Every key of a config: a run's (its method and thresholds apart), or of another kind of config."""
    rows = fields(find(CONFIGS[name]))
    return key_table(row for row in rows if name or not row[0].startswith(("`validation.", "`method.")))


def method(name: str | None) -> str:
    """Every setting of a method of the registry."""
    from s2st_aug.methods import find_method

    return key_table(fields(find_method(name or "s2st").settings, "method."))


def presets(_: str | None) -> str:
    """What each preset changes of the defaults, on a model without presets of its own and on the embedded ones."""
    from s2st_aug.diffusion.model_choice import EMBEDDED
    from s2st_aug.translation.presets import presets_of
    from s2st_aug.translation.settings import MethodSettings

    plain, rows = MethodSettings().model_dump(), []
    models = {"any other model": presets_of("/"), **{name: presets_of(name) for name in EMBEDDED}}
    for preset, usual in models["any other model"].items():
        own = {name: found[preset] for name, found in models.items() if found[preset] != usual}
        for where, settings in {**own, "any other model" if own else "every model": usual}.items():
            changed = {k: v for k, v in settings.model_dump().items() if v != plain[k] and k != "preset"}
            rows.append((f"`{preset}`", where, ", ".join(f"`{k}: {as_yaml(v)}`" for k, v in changed.items()) or "none"))
    return table(("preset", "model", "other than the defaults above"), rows)


def model(_: str | None) -> str:
    """What can be put on a model."""
    from s2st_aug.diffusion.model_choice import ModelChoice

    return key_table(fields(ModelChoice, "model."))


def validation(_: str | None) -> str:
    """The thresholds of the gates."""
    from s2st_aug.validation.settings import ValidationSettings

    return key_table(fields(ValidationSettings, "validation."))


def find(place: tuple[str, str]) -> Any:
    """A name of a module."""
    return getattr(importlib.import_module(place[0]), place[1])


Key = tuple[str, str, str, str, str]  # key, type, unit, default, meaning


def key_table(rows: Iterable[Key]) -> str:
    """A table of config keys."""
    return table(("key", "type", "unit", "default", "what"), rows)


def fields(record: type[BaseModel], prefix: str = "", seen: dict[Any, str] | None = None) -> Iterator[Key]:
    """A pydantic record's keys, nested ones with dots; one that comes again (`seen`, with its place) is not repeated.

    Raises KeyError for a key that does not say what it is, or a number that does not say its unit.
    """
    seen = {} if seen is None else seen
    for name, field in record.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            name = str(field.validation_alias.choices[0])
        inside = nested(field.annotation)
        if inside is BaseModel:  # a method's own record: `method` makes a table of each
            continue
        place = f"{prefix}{name}{inner_mark(field.annotation)}" if inside else f"{prefix}{name}"
        if inside and inside not in seen:
            seen[inside] = place
            yield from fields(inside, f"{place}.", seen)
            continue
        if not field.description:
            raise KeyError(f"{record.__name__}.{name} has no description")
        told = UNIT.match(field.description)
        what, unit = (told[1], told[2]) if told else (field.description, "")
        if not unit and is_number(field.annotation):
            raise KeyError(f"{record.__name__}.{name}: its description does not end in [unit]")
        unit = "" if unit == "no unit" else unit
        kind = f"as `{seen[inside]}`" if inside else f"{shown(field.annotation)}{limits(field)}"
        yield f"`{place}`", kind, unit, default_shown(field), escaped(what)


def default_shown(field: FieldInfo) -> str:
    """A key's default as YAML has it."""
    if field.default is PydanticUndefined and field.default_factory is None:
        return "required"
    value = field.get_default(call_default_factory=True)
    return f"`{as_yaml(value)}`"


def as_yaml(value: Any) -> str:
    """A value as one writes it in a config."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, str):
        return value.encode("unicode_escape").decode() if value else '""'
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def limits(field: FieldInfo) -> str:
    """What a number must lie between, as `, 0 to 1`; empty where anything goes."""
    found: dict[str, Any] = {}
    for rule in [*field.metadata, *inner_rules(field.annotation)]:
        found |= {name: getattr(rule, name) for name in ("ge", "gt", "le", "lt") if hasattr(rule, name)}
    if not found:
        return ""
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    high = None if high == 2**63 else high
    return f", {bounds(low, high, above='gt' in found, below='lt' in found)}"


def inner_rules(kind: Any) -> list[Any]:
    """The rules of what is annotated within a type: of `Annotated[int, Field(ge=1)] | None`, say."""
    if get_origin(kind) is Annotated:
        own = [r for rule in kind.__metadata__ for r in (rule.metadata if isinstance(rule, FieldInfo) else [rule])]
        return own + inner_rules(get_args(kind)[0])
    return [rule for inner in get_args(kind) for rule in inner_rules(inner)] if get_origin(kind) else []


def bounds(low: float | None, high: float | None, *, above: bool = False, below: bool = False) -> str:
    """`0 to 1`, `above 0`, `at least 1`, ..."""
    least = (
        "" if low is None else f"above {low:g}" if above else f"{low:g}" if high is not None else f"at least {low:g}"
    )
    most = (
        "" if high is None else f"below {high:g}" if below else f"{high:g}" if low is not None else f"at most {high:g}"
    )
    return (" and " if below else " to ").join(part for part in (least, most) if part)


def is_number(kind: Any) -> bool:
    """Whether a type holds numbers, alone, in a list or beside null."""
    if kind in (int, float):
        return True
    is_words = get_origin(kind) is Literal
    return any(isinstance(a, int) for a in get_args(kind)) if is_words else any(map(is_number, get_args(kind)))


def nested(kind: Any) -> Any:
    """The record within a type: of `Record | None`, of a list of it or a dictionary to it; None where there is none."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    found = [nested(a) for a in get_args(kind)] if get_origin(kind) not in (Literal, None) else []
    return next((inner for inner in found if inner), None)


def inner_mark(kind: Any) -> str:
    """`[]` behind a key that holds a list of records, `.NAME` behind one that holds them by name."""
    origins = {get_origin(kind), *(get_origin(a) for a in get_args(kind))}
    return ".NAME" if dict in origins else "[]" if origins & {tuple, list} else ""


def shown(kind: Any) -> str:
    """A type as a reader of YAML or of a command line would say it."""
    if get_origin(kind) is Annotated:
        return shown(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return ", ".join(f"`{a}`" for a in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        rest = [a for a in get_args(kind) if a is not type(None)]
        return " or ".join(shown(a) for a in get_args(kind)) if len(rest) < len(get_args(kind)) else shown(rest[0])
    if get_origin(kind) in (tuple, list):
        inner = [shown(a) for a in get_args(kind) if a is not Ellipsis]
        return (
            f"list of {inner[0]}" if Ellipsis in get_args(kind) or get_origin(kind) is list else f"[{', '.join(inner)}]"
        )
    if get_origin(kind) is dict:
        return " to ".join(shown(a) for a in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return "path"
    return TYPES.get(kind) or getattr(kind, "__name__", str(kind))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(" ".join(str(c).replace("|", "\\|").split()) for c in row) + " |" for row in rows]
    return "\n".join(lines)
