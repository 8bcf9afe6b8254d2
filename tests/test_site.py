"""The site of docs/: it builds without a warning, asks nothing of other hosts, and its search works from a folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import asd_ray

ROOT = Path(__file__).parents[1]
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"'\s>]+)|<link\b[^>]*\bhref=[\"']?([^\"'\s>]+)"
)
WITHOUT_ENTRY = {"FAMILIES", "PRESETS"}  # tables, which families.md and library.md describe


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
    return subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_page_of_docs_is_in_the_site(site: Path) -> None:
    """A page that is in no menu is a warning, so the strict build would have failed on it."""
    sources = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert sources <= {path.relative_to(site) for path in pages(site)}


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    checked = 0
    for page in pages(site):
        for first, second in LOADED.findall(page.read_text()):
            assert "://" not in first + second, f"{first}{second} in {page.name}"
            checked += 1
    assert checked > 100


def test_files_outside_docs_that_pages_link_to_are_in_the_site(site: Path) -> None:
    assert (site / "repository" / "search_spaces" / "index.html").is_file()
    assert (site / "repository" / "asd_ray" / "detectors" / "_base.py").is_file()
    assert 'href="repository/search_spaces/index.html"' in (site / "search.html").read_text()


def test_the_reference_has_every_public_name(site: Path) -> None:
    reference = (site / "reference.html").read_text()
    names = set(asd_ray.__all__) - WITHOUT_ENTRY
    assert {name for name in names if not re.search(rf'id="asd_ray\.[\w.]*\b{name}"', reference)} == set()


def build_page(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Build a site of one page with the settings of ours."""
    (folder / "docs" / "assets").mkdir(parents=True)
    (folder / "docs" / "index.md").write_text(f"# A page\n\n{text}\n")
    lines = [f"INHERIT: {ROOT / 'mkdocs.yml'}", f"docs_dir: {folder / 'docs'}", "hooks: []", "nav: [index.md]"]
    (folder / "mkdocs.yml").write_text("\n".join(lines))
    return build(folder / "mkdocs.yml", folder / "site")


def test_broken_links_end_the_build(tmp_path: Path) -> None:
    done = build_page(tmp_path, "[gone](gone.md) [gone](index.md#nowhere) ![gone](images/gone.png)")
    assert done.returncode == 1
    named = ("gone.md", "gone.png", "nowhere")
    warnings = [line for line in done.stderr.splitlines() if any(name in line for name in named)]
    assert len(warnings) == 3, done.stderr


def test_a_missing_name_of_the_reference_ends_the_build(tmp_path: Path) -> None:
    done = build_page(tmp_path, "::: asd_ray.dataset.Gone")
    assert done.returncode == 1
    assert "asd_ray.dataset.Gone" in done.stderr


def test_the_search_works_when_the_site_is_opened_from_a_folder(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    asked: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "tutorials" / "cluster.html").as_uri())
        page.fill("input[name=query]", "false alarms")
        page.locator(".md-search-result__link").nth(5).wait_for(state="attached", timeout=60_000)
        browser.close()
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
