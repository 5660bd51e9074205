"""`s2st-aug verify RUN`: every promise (docs/reference/promises.md) against the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from s2st_aug.cli.terminal import err, out, print_json
from s2st_aug.errors import EXIT_CHECK, EXIT_OK, counted

if TYPE_CHECKING:
    from s2st_aug.storage.verify import VerifyReport

SHOWN = 20


def verify(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move damaged files to quarantine/; the next augment makes them again.")
    ] = False,
) -> int:
    """Check that a run folder keeps every promise: rows, images, hashes. Exit code 0 if so, else 3."""
    from s2st_aug.storage.generations import finish_replacement
    from s2st_aug.storage.lock import RunLock
    from s2st_aug.storage.repair import repair as set_aside
    from s2st_aug.storage.repair import set_torn_aside
    from s2st_aug.storage.run_folder import RunFolder
    from s2st_aug.storage.shards import gather
    from s2st_aug.storage.verify import verify as check

    folder = RunFolder(run)
    report = check(folder)
    repaired = 0
    if repair and report.findings:
        with RunLock(folder):
            finish_replacement(folder)
            repaired = set_torn_aside(folder, report)
            gather(folder)
            repaired += set_aside(folder, check(folder))
            report = check(folder)
    if json_:
        numbers = {name: getattr(report, name) for name in report.__slots__ if name != "findings"}
        found = [{"kind": f.kind, "what": f.what} for f in report.findings]
        print_json({"holds": report.holds, **numbers, **report.counts(), "repaired": repaired, "findings": found})
    else:
        _show(report, repaired)
        if report.sources_unchecked:
            where = folder.run_json().dataset_root
            sources = counted(report.sources_unchecked, "source")
            out.print(f"{sources} not checked: there is no folder {where} on this machine", markup=False)
    return EXIT_OK if report.holds else EXIT_CHECK


def _show(report: VerifyReport, repaired: int) -> None:
    for finding in report.findings[:SHOWN]:
        err.print(f"{finding.kind}: {finding.what}", markup=False)
    if len(report.findings) > SHOWN:
        err.print(f"... and {len(report.findings) - SHOWN} more (--json lists all)", markup=False)
    if repaired:
        aside = f"moved {counted(repaired, 'finding')} to quarantine/"
        out.print(f"{aside}; run augment again to make what is missing", markup=False)
    if report.unfinished:
        done = report.planned - report.unfinished
        out.print(f"unfinished: {done} of {report.planned} planned variants are there", markup=False)
    found = ", ".join(f"{n} {kind}" for kind, n in report.counts().items() if n)
    verdict = "every promise holds" if report.holds else found or "unfinished"
    counts = f"{report.ok} ok, {report.rejected} rejected, {report.failed} failed"
    out.print(f"{verdict}: {counted(report.rows, 'row')} ({counts})", markup=False)
    out.print(
        f"hashed {counted(report.images_hashed, 'image')} and {counted(report.sources_hashed, 'source')}", markup=False
    )
