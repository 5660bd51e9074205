"""One version everywhere: package, project, citation and changelog; the date of its release, too."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import s2st_aug

ROOT = Path(__file__).parents[2]


def released() -> list[tuple[str, str]]:
    """Version and date of each release in the changelog, newest first."""
    return re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_package_project_citation_and_changelog_name_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {s2st_aug.__version__, project["version"], str(cited["version"]), released()[0][0]} == {"0.2.0"}
    assert cited["date-released"] == released()[0][1]


def test_the_changelog_groups_changes_as_keep_a_changelog_does() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## (.+)$", text, re.M)
    assert heads[0] == "[Unreleased]"
    assert heads[1:] == [f"[{version}] - {date}" for version, date in released()]
    groups = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= groups


def addresses(root: Path) -> dict[str, bool]:
    """Where the repository's public address belongs, and whether one is there."""
    clusters = [p.read_text() for p in (root / "configs/cluster").glob("*.yaml")]
    return {
        "pyproject.toml": "urls" in tomllib.loads((root / "pyproject.toml").read_text())["project"],
        "mkdocs.yml": bool(re.search(r"^(site_url|repo_url|edit_uri):", (root / "mkdocs.yml").read_text(), re.M)),
        "CITATION.cff": bool({"repository-code", "url"} & set(yaml.safe_load((root / "CITATION.cff").read_text()))),
        "configs/cluster": not any(" REPOSITORY " in text for text in clusters),
    }


def test_the_public_address_is_everywhere_or_nowhere() -> None:
    found = addresses(ROOT)
    assert len(set(found.values())) == 1, f"docs/release.md lists where it belongs: {found}"
