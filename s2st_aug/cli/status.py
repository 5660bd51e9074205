"""`s2st-aug status RUN`: what progress.json and the lock say, nothing else is read."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from s2st_aug.cli.terminal import out, print_json

WATCH_SECONDS = 2.0


def status(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every two seconds until the run ends.")] = False,
) -> int:
    """Show progress, rate, time left and failures of a run, from the files in its folder."""
    from s2st_aug.storage.progress import report_of

    while True:
        report = report_of(run)
        if json_:
            print_json(report)
        else:
            _show(report)
        if not watch or report["state"] != "running":
            return 0
        time.sleep(WATCH_SECONDS)


def _show(report: dict[str, Any]) -> None:
    share = report["done"] / report["total"] if report["total"] else 0.0
    rate = f"{report['rate']:.2f} variants/s" if report["rate"] else "no rate yet"
    eta = ""
    if report["eta_seconds"] is not None:
        hours, rest = divmod(int(report["eta_seconds"]), 3600)
        eta = f", {hours} h {rest // 60} min left" if hours else f", {rest // 60} min {rest % 60} s left"
    out.print(f"{report['state']}: {report['done']} of {report['total']} ({share:.0%}), {rate}{eta}", markup=False)
    if report["stalled"]:
        usual = f", usually every {report['usual_seconds']:.0f} s" if report["usual_seconds"] else ""
        out.print(f"nothing has been committed for {report['silent_seconds']:.0f} s{usual}", markup=False)
        if report["under_way"]:
            out.print(f"waiting for {report['under_way']}", markup=False)
    out.print(f"accepted {report['ok']}, rejected {report['rejected']}, failed {report['failed']}", markup=False)
    for title in ("reasons", "failures", "actors"):
        for name, count in sorted(report[title].items(), key=lambda item: -item[1])[:10]:
            out.print(f"  {title[:-1]} {name}: {count}", markup=False)
    if report["message"]:
        out.print(report["message"], markup=False)
