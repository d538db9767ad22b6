"""The audit's page as a person meets it: in a browser, without a network, with hostile settings in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from audited import HOSTILE, JOBS, M0, M1, POOL, TABLES, TRAINED, audit, evaluation
from axe_playwright_python.sync_playwright import Axe
from conftest import Watched
from playwright.sync_api import Page, expect

from cream.digests import file_digest

CREAM, SRLM = TRAINED["cream"], TRAINED["srlm"]
REPRODUCED = [
    {"artifact": CREAM, "stage": "train_policy", "verdict": "DIVERGED", "determinism": "C", "kept": False}
    | {"said": [f"weights.txt {HOSTILE}"], "seconds": 9.5, "host": "elsewhere", "when": "2026-11-23T10:00:00Z"},
    {"artifact": POOL, "stage": "build_pool", "verdict": "DIVERGED", "determinism": "B", "kept": False}
    | {"said": ["an old one"], "seconds": 1.0, "host": "elsewhere", "when": "2026-11-22T10:00:00Z"},
    {"artifact": POOL, "stage": "build_pool", "verdict": "IDENTICAL", "determinism": "B", "kept": True}
    | {"said": ["all bytes"], "seconds": 1.0, "host": "elsewhere", "when": "2026-11-23T10:00:00Z"},
]


@pytest.fixture(scope="module")
def url(audited_study: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a study of which a model's byte was changed, and two artifacts were made again."""
    project = tmp_path_factory.mktemp("page") / "project"
    shutil.copytree(audited_study, project, symlinks=True)
    (project / "results/audit").mkdir(exist_ok=True)
    saved = [{**row, "record": file_digest(project / f"{row['artifact']}.record.json")} for row in REPRODUCED]
    (project / "results/audit/reproduced.json").write_text(json.dumps(saved))
    (project / SRLM / "weights.txt").write_text("other")
    done = audit(project, "page")
    assert done.returncode == 0, done.stderr
    assert (
        "10 artifacts held against their records: 9 sound, 1 differ, 0 unchecked; 2 made again, 1 of them"
        in done.stdout
    )
    return (project / "results/report/audit.html").as_uri()


def opened(watched: Watched, url: str) -> Page:
    watched.page.goto(url)
    watched.page.wait_for_selector("body[data-ready=true]")
    return watched.page


def box(page: Page, artifact: str):
    return page.locator(f'.lineage a[href="#of/{artifact}"]')


def named(page: Page, kind: str) -> set[str]:
    """Artifacts whose boxes are marked so."""
    titles = page.locator(f".lineage a.{kind} > title").all_text_contents()
    return {line for title in titles for line in title.split("\n") if line.startswith(("results/", "questions"))}


def test_nothing_is_wrong_and_nothing_leaves_the_page(watched: Watched, url: str, screenshots: Path) -> None:
    page = opened(watched, url)
    assert watched.errors == [] and watched.requests == [url]
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    assert page.locator(".lineage a").count() == len(JOBS) + 1
    page.screenshot(path=screenshots / "audit.png", full_page=True)


def test_a_click_shows_the_record_and_marks_the_kin(watched: Watched, url: str, screenshots: Path) -> None:
    page = opened(watched, url)
    box(page, CREAM).click()
    expect(page.locator("#details h3")).to_have_text(CREAM)
    said = page.locator("#details").inner_text()
    for words in ("train_policy", "beta: 0.25", "sound", "DIVERGED, promise broken", "LoRA adapter", "no GPU"):
        assert words in said, words
    assert named(page, "here") == {CREAM}
    assert named(page, "below") == {POOL, M0, M1, "questions.txt"}
    assert named(page, "above") == {evaluation(CREAM), *TABLES}
    assert page.locator("tr[aria-current=true]").inner_text().startswith(CREAM)
    page.screenshot(path=screenshots / "audit-chosen.png")
    box(page, POOL).click()
    expect(page.locator("#details h3")).to_have_text(POOL)
    assert "IDENTICAL, as promised" in page.locator("#details").inner_text()
    assert named(page, "below") == {"questions.txt"} and named(page, "here") == {POOL}
    page.go_back()
    expect(page.locator("#details h3")).to_have_text(CREAM)


def test_the_table_leads_to_the_box_and_the_siblings(watched: Watched, url: str) -> None:
    page = opened(watched, url)
    page.locator("#artifacts").get_by_role("link", name=TABLES[1], exact=True).click()
    expect(page.locator("#details h3")).to_have_text(TABLES[1])
    assert named(page, "here") == set(TABLES)
    expect(page.locator(".lineage a.here")).to_be_in_viewport()
    expect(page.locator("#details h3")).to_be_in_viewport()
    page.locator("#details").get_by_role("link", name=TABLES[0], exact=True).click()
    expect(page.locator("#details h3")).to_have_text(TABLES[0])


def test_verdicts_stand_in_picture_table_and_findings(watched: Watched, url: str) -> None:
    page = opened(watched, url)
    assert box(page, SRLM).locator(".sign").text_content() == "≠"
    assert box(page, CREAM).locator(".sign").text_content() == "✓"
    rows = {row.split("\t")[0]: row.split("\t")[1:] for row in page.locator("#artifacts tbody tr").all_inner_texts()}
    assert rows[SRLM][:3] == ["train_policy", "≠ differs", "C"] and rows[SRLM][3] == "not made again yet"
    assert rows[POOL][:3] == ["build_pool", "✓ sound", "B"] and rows[POOL][3].startswith("IDENTICAL, as promised")
    promises = {row.split("\t")[0]: row.split("\t")[1:] for row in page.locator("#promises tbody tr").all_inner_texts()}
    assert promises["build_pool"][-3:] == ["1", "1 IDENTICAL", "0"]
    assert promises["train_policy"][-3:] == ["2", "1 DIVERGED", "1"]
    assert promises["evaluate_model"][-3:] == ["3", "not made again yet", ""]
    assert page.locator(f"#findings tr:has-text('{SRLM}')").count() >= 1


def test_hostile_text_is_shown_as_text(watched: Watched, url: str) -> None:
    page = opened(watched, url)
    box(page, CREAM).click()
    shown = HOSTILE.replace("\x1b", "\\u001b")
    assert f"note: {shown}" in page.locator("#details").text_content()
    assert "DIVERGED" in page.locator("#artifacts").inner_text()
    assert page.evaluate("window.owned") is None
    assert page.locator("img").count() == 0 and page.locator("script").count() == 2
    assert watched.errors == []


@pytest.mark.parametrize("address", ["#of/results/none", "#of/%", "#of/", "#nothing"])
def test_an_address_that_names_nothing_chooses_nothing(watched: Watched, url: str, address: str) -> None:
    page = opened(watched, url + address)
    assert page.locator("#details h3").count() == 0 and watched.errors == []


def test_the_keyboard_reaches_a_record(watched: Watched, url: str) -> None:
    page = opened(watched, url)
    page.locator("#fit").focus()
    on_box = f"document.activeElement.getAttribute('href') === '#of/{CREAM}'"
    for _ in range(len(JOBS) + 4):
        page.keyboard.press("Tab")
        if page.evaluate(on_box):
            break
    assert page.evaluate(on_box)
    assert page.evaluate("getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth") == "4px"
    page.keyboard.press("Enter")
    expect(page.locator("#details h3")).to_have_text(CREAM)
    assert page.evaluate(on_box), "the focus stays where it was"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_violation(watched: Watched, url: str, scheme: str) -> None:
    watched.page.emulate_media(color_scheme=scheme)
    page = opened(watched, f"{url}#of/{CREAM}")
    found = Axe().run(page)
    assert found.violations_count == 0, json.dumps(found.response["violations"], indent=1)[:3000]


def test_a_phone_needs_no_sideways_scrolling(watched: Watched, url: str, screenshots: Path) -> None:
    watched.page.set_viewport_size({"width": 390, "height": 844})
    page = opened(watched, f"{url}#of/{CREAM}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator("#details h3")).to_be_in_viewport()
    page.screenshot(path=screenshots / "audit-phone.png")


def test_paper_shows_picture_and_tables_whole(watched: Watched, url: str, screenshots: Path) -> None:
    page = opened(watched, url)
    watched.page.emulate_media(media="print", color_scheme="dark")
    watched.page.set_viewport_size({"width": 700, "height": 1000})
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#details").is_visible()
    wide = (
        "[...document.querySelectorAll('.lineage, table')].filter((each) => each.getBoundingClientRect().right > 701)"
    )
    assert page.evaluate(f"{wide}.length") == 0
    page.pdf(path=screenshots / "audit.pdf", format="A4")


def test_text_fits_its_box(watched: Watched, url: str) -> None:
    page = opened(watched, url)
    over = """[...document.querySelectorAll('.lineage a')].flatMap((link) => {
      const frame = link.querySelector('rect').getBoundingClientRect();
      return [...link.querySelectorAll('text:not(.sign)')]
        .map((text) => text.getBoundingClientRect())
        .filter((text) => text.right > frame.right || text.bottom > frame.bottom || text.left < frame.left);
    }).length"""
    assert page.evaluate(over) == 0


def test_saved_verdicts_that_are_none_are_said_to_be(audited_study: Path, watched: Watched, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(audited_study, project, symlinks=True)
    (project / "results/audit/reproduced.json").write_text('[{"artifact": 1}')
    assert audit(project, "page", "--out", "page.html").returncode == 0
    page = opened(watched, (project / "page.html").as_uri())
    assert "is not what `audit.py reproduce --save` writes" in page.locator("header").inner_text()
