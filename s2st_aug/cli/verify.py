"""`s2st-aug verify RUN`: every promise (docs/reference/promises.md) against the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from s2st_aug.cli.terminal import err, out, print_json
from s2st_aug.errors import EXIT_CHECK, EXIT_OK

if TYPE_CHECKING:
    from s2st_aug.storage.verify import VerifyReport

SHOWN = 20


def verify(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move what is wrong to quarantine/, so that resuming makes it again.")
    ] = False,
) -> int:
    """Check every promise of a run folder against its files; exit 0 only if all hold, 3 otherwise."""
    from s2st_aug.storage.generations import finish_replacement
    from s2st_aug.storage.lock import RunLock
    from s2st_aug.storage.repair import repair as mend
    from s2st_aug.storage.repair import set_torn_aside
    from s2st_aug.storage.run_folder import RunFolder
    from s2st_aug.storage.shards import gather
    from s2st_aug.storage.verify import verify as check

    folder = RunFolder(run)
    report = check(folder)
    mended = 0
    if repair and report.findings:
        with RunLock(folder):
            finish_replacement(folder)
            mended = set_torn_aside(folder, report)
            gather(folder)
            mended += mend(folder, check(folder))
            report = check(folder)
    _show(report, mended) if not json_ else print_json(_plain(report, mended))
    return EXIT_OK if report.holds else EXIT_CHECK


def _plain(report: VerifyReport, mended: int) -> dict:
    numbers = {name: getattr(report, name) for name in report.__slots__ if name != "findings"}
    found = [{"kind": f.kind, "what": f.what} for f in report.findings]
    return {"holds": report.holds, **numbers, **report.counts(), "repaired": mended, "findings": found}


def _show(report: VerifyReport, mended: int) -> None:
    for finding in report.findings[:SHOWN]:
        err.print(f"{finding.kind}: {finding.what}", markup=False)
    if len(report.findings) > SHOWN:
        err.print(f"... and {len(report.findings) - SHOWN} more (--json lists all)", markup=False)
    if mended:
        out.print(
            f"set aside {mended} findings under quarantine/; run augment again to make what is missing", markup=False
        )
    if report.unfinished:
        out.print(
            f"unfinished: {report.planned - report.unfinished} of {report.planned} planned variants are there",
            markup=False,
        )
    found = ", ".join(f"{n} {kind}" for kind, n in report.counts().items() if n)
    verdict = "every promise holds" if report.holds else found or "unfinished"
    out.print(
        f"{verdict}: {report.rows} rows ({report.ok} ok, {report.rejected} rejected, {report.failed} failed)",
        markup=False,
    )
    out.print(f"hashed {report.images_hashed} images and {report.sources_hashed} sources", markup=False)
