"""`s2st-aug report RUN`: the HTML page, the contact sheet, and a summary on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2st_aug.cli.terminal import out, print_json
from s2st_aug.errors import EXIT_OK, S2STError, UsageError, counted, did_you_mean

if TYPE_CHECKING:
    from rich.table import Table

    from s2st_aug.report.summary import DomainLine


def report(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    out_file: Annotated[Path | None, typer.Option("--out", help="File for the page; default: RUN/report.html.")] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Write a page to review on; it saves decisions for `review pull --file`.")
    ] = False,
    references: Annotated[
        list[str] | None,
        typer.Option("--references", help="Photos to measure the distance to: DOMAIN=DIR. Repeatable."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> int:
    """Write a self-contained HTML page and a contact sheet, and print a summary."""
    from s2st_aug.report.contact_sheet import write_contact_sheet
    from s2st_aug.report.evidence import write_evidence
    from s2st_aug.report.html import refuse_place, write_report
    from s2st_aug.report.review_page import write_review_page
    from s2st_aug.report.summary import domain_lines
    from s2st_aug.storage.run_folder import RunFolder

    folder = RunFolder(run)
    if review and references:
        raise UsageError("--references is for the report: the page to review on shows no distances; leave one out")
    photos = (
        parse_references(references, folder.read_manifest(["domain"])["domain"].unique().to_pylist())
        if references
        else {}
    )
    if out_file is not None:
        refuse_place(out_file)
    evidence = write_evidence(run)
    page = write_review_page(run, out=out_file) if review else write_report(run, out=out_file, references=photos)
    sheet = write_contact_sheet(run)
    lines = domain_lines(folder.read_manifest(), folder.run_json().config.get("domains", ()))
    if json:
        sets = {k: v for k, v in asdict(evidence).items() if k != "overlays"}
        print_json(
            {"page": str(page), "contact_sheet": str(sheet), "domains": [asdict(line) for line in lines], **sets}
        )
    else:
        _tell(run, page, sheet, lines, review=review)
        for line in ungated_lines(folder.run_json().config, lines):
            out.print(line)
        for domain, found in evidence.common.items():
            if found:
                places = "1 place looks" if len(found) == 1 else f"{len(found)} places look"
                what = f"{places} alike in all variants and not in their sources"
                out.print(f"warning: {domain}: {what}; see the report")
    return EXIT_OK


def ungated_lines(config: Mapping[str, Any], lines: list[DomainLine]) -> Iterator[str]:
    """For each domain whose strength rejected nothing, why, with its discriminant's accuracy where the profile is at
    hand.
    """
    from s2st_aug.profiles import find_image_profiles
    from s2st_aug.profiles.accuracy import strength_line

    for line in lines:
        if line.strength_ungated is None:
            continue
        try:
            profile = find_image_profiles([line.domain], config.get("model") or "street-mini")[line.domain]
            yield f"{line.domain}: {strength_line(profile)}"
        except S2STError:  # a profile file of the user's, or a model that is not here
            yield f"{line.domain}: strength is measured and rejects nothing ({line.strength_ungated})"


def parse_references(pairs: list[str], domains: Collection[str]) -> dict[str, Path]:
    """`night=DIR` pairs; raises UsageError for another form, a folder that is not there or holds too few photos, and a
    domain that the run does not have or that is named twice.
    """
    from s2st_aug.report.html import LEAST, photos_of

    found: dict[str, Path] = {}
    for pair in pairs:
        domain, _, place = pair.partition("=")
        if not place or not Path(place).is_dir():
            raise UsageError(f"--references expects DOMAIN=DIR with a folder that exists, got {pair!r}")
        if domain not in domains:
            raise UsageError(f"--references {pair}: the run has no domain {domain!r}{did_you_mean(domain, domains)}")
        if domain in found:
            raise UsageError(f"--references: {domain} is named twice; give one folder, subfolders are searched too")
        if (count := len(photos_of(Path(place)))) < LEAST:
            raise UsageError(f"--references {pair}: found {counted(count, 'photo')}, a distance needs {LEAST} or more")
        found[domain] = Path(place)
    return found


def summary_table(lines: list[DomainLine]) -> Table:
    """What a run made, by domain."""
    from rich.table import Table

    title = "Variants, medians of the measures, labels by verdict"
    table = Table(title=title, title_justify="left", box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("domain")
    for name in ("rows", "ok", "rejected", "failed", "strength", "structure", "keep", "ignore", "lost", "s/row"):
        table.add_column(name, justify="right")
    for x in lines:
        counts = (x.rows, *x.statuses.values())
        measures = ("n/a" if m is None else f"{m:.2f}" for m in (x.strength, x.structure))
        table.add_row(
            x.domain, *map(str, counts), *measures, *map(str, x.verdicts.values()), f"{x.seconds / max(1, x.rows):.1f}"
        )
    return table


def _tell(run: Path, page: Path, sheet: Path, lines: list[DomainLine], *, review: bool) -> None:
    out.print(summary_table(lines))
    out.print(f"contact sheet: {sheet}")
    out.print(f"page:          {page}")
    out.print("try next:")
    for command, what in next_commands(run, reviewed=review):
        out.print(f"  {command}")
        out.print(f"      {what}", style="dim")


def next_commands(run: Path, *, reviewed: bool = False) -> list[tuple[str, str]]:
    """Commands worth trying on a run, or after a page to review it on, each with what it does; as they can be typed
    from the checkout.
    """
    from s2st_aug.export import own_format
    from s2st_aug.storage import RunFolder

    form = own_format(RunFolder(run))
    tool = ".venv/bin/s2st-aug" if Path(".venv/bin/s2st-aug").exists() else "s2st-aug"
    if reviewed:
        pull, export = f"{tool} review pull {run} --file decisions.json", f"{tool} export {run} --format {form}"
        return [
            (pull, "reads the decisions that the page saved"),
            (f"{export} --out {run}-export --accepted-only", "a training set of what you accepted"),
        ]
    return [
        (f"{tool} verify {run}", "every promise checked against the files"),
        (f"{tool} review push {run} && {tool} review open {run}", "look, accept, reject in FiftyOne"),
        (f"{tool} export {run} --format {form} --out {run}-export", "a training set with its lock file"),
    ]
