"""The page of an inspection: what is bad stands first, and the browser shows all of it without asking for anything."""

from pathlib import Path
from typing import Any

import pytest
from browser import chromium

from robot_rlaas.pages.inspection import inspection_page


def finding(check: str, severity: str, episode: int | None, frames: list[int] | None = None) -> dict[str, Any]:
    text, advice = f"{check} of <{episode}>", f"mend the {check}"
    return {
        "check": check,
        "severity": severity,
        "episode": episode,
        "frames": frames,
        "text": text,
        "advice": advice,
    }


def axis(name: str, counts: list[int], values: list[float]) -> dict[str, Any]:
    holes = [[-10.0, -5.0]] if counts[0] == 0 else []
    about = {"name": name, "unit": "mm", "low": -10.0, "high": 10.0, "placed": True}
    return {**about, "counts": counts, "holes": holes, "values": values}


@pytest.fixture
def content() -> dict[str, Any]:
    """Four episodes: one bad, one to be cut, one that failed, one good."""
    episodes = [
        {
            "episode": i,
            "number": i,
            "operator": ("anna", "bert")[i % 2],
            "success": i != 2,
            "steps": 40 + i,
            "seconds": 2.0 + i / 20,
            "peak_force_N": 20.0 + i,
            "good": i > 0,
            "late": 0,
            "corrected": 0,
            "idle": 0.1,
            "jerk": 0.2,
            "at_bound": None,
        }
        for i in range(4)
    ]
    start = {"sequence": {"seed": 7, "space": "DEMONSTRATE", "key": []}, "number": 31, "distance": 0.4}
    start |= {"start": {"plate x": -9.0, "plate y": 4.0}, "text": "plate x -9.0 mm, plate y +4.0 mm"}
    axes = [axis("plate x", [0, 2, 1, 1], [0.0, 2.0, 4.0, 6.0]), axis("plate y", [1, 1, 1, 1], [-9.0, -1.0, 1.0, 9.0])]
    parent = {
        "name": "monday",
        "sha256": "ab" * 32,
        "made": {"by": "rlaas demos record", "settings": {}, "parents": []},
    }
    return {
        "dataset": "both",
        "cell": "peg_insertion",
        "cell_hash": "c" * 64,
        "made": {"by": "rlaas demos merge", "settings": {}, "parents": [parent], "left_out": ["episode 9 left out"]},
        "rate_hz": 20.0,
        "counts": {
            "episodes": 4,
            "readable": 4,
            "successes": 3,
            "frames": 166,
            "bad": 1,
            "trim": 1,
            "replayed": 4,
            "cameras": ["wrist"],
        },
        "findings": [
            finding("frozen", "bad", 0, [3, 20]),
            finding("idle_tail", "trim", 1, [30, 40]),
            finding("failed", "note", 2),
            finding("disagreement", "note", None),
        ],
        "episodes": episodes,
        "coverage": {
            "known": True,
            "episodes": [0, 1, 2, 3],
            "good": [False, True, False, True],
            "axes": axes,
            "next": [start],
        },
    }


def test_the_browser_shows_all_of_it_and_asks_for_nothing(content: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "inspection.html"
    file.write_text(inspection_page(content, 60.0), encoding="utf-8")
    with chromium(file.as_uri(), tmp_path / "profile") as browser:
        browser.wait("document.readyState", lambda state: state == "complete")
        kinds = browser.run("[...document.querySelectorAll('.findings tbody th')].map(e => e.innerText)")
        assert [kind.split() for kind in kinds] == [
            ["BAD", "Frozen"],
            ["CUT", "Idle", "tail"],
            ["NOTE", "Failed"],
            ["NOTE", "Disagreement"],
        ]
        text = browser.run("document.body.innerText")
        for said in (
            "frozen of <0>",
            "mend the frozen",
            "31 of seed 7",
            "nothing in \N{MINUS SIGN}10 to \N{MINUS SIGN}5",
        ):
            assert said in text.replace("\N{NO-BREAK SPACE}", " ")
        assert "anna (2), bert (2)" in text
        assert "monday, made by rlaas demos record, SHA-256 abababababababab" in text
        bad = "[...document.querySelectorAll('.span-bad')].map(e => e.getBoundingClientRect().width)"
        good = "document.querySelector('.episode').getBoundingClientRect().width"
        [width] = browser.run(bad)
        assert width / browser.run(good) == pytest.approx(18 / 40, abs=0.01)
        assert browser.run("document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.asked == {file.as_uri()}


def test_a_clean_dataset_says_so(content: dict[str, Any]) -> None:
    content["findings"], content["counts"] = [], {**content["counts"], "bad": 0, "trim": 0}
    page = inspection_page(content)
    assert "Every check passed on every episode." in page
    assert ">CLEAN<" in page
    assert "rlaas demos clean" not in page


def test_of_many_episodes_those_with_something_to_see_are_drawn(content: dict[str, Any]) -> None:
    content["episodes"] = [{**content["episodes"][i % 4], "episode": i} for i in range(400)]
    page = inspection_page(content)
    assert page.count('class="episode ') == 2
    assert "398 more episodes are not drawn" in page
