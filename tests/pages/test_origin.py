"""Who vouches for a bundle, and whether its policy saw what it knows, on the page of a run."""

from dataclasses import replace

import pytest

from robot_rlaas.pages.overview import Attempt, Overview, overview_page

RUN = Overview("cell", "A cell.", 0, 60.0, 90.0, 2, (), attempts=(Attempt(True, 3.0, 20.0),), violations=0)


@pytest.mark.parametrize(
    ("origin", "trusted", "shown"),
    [
        ("signed by own (0123456789ab)", True, "The bundle is signed by own (0123456789ab)."),
        ("UNSIGNED, let in", False, "<strong>The bundle is UNSIGNED, let in.</strong>"),
        ("", True, "succeeded; the supervisor counted no violation.</p>"),
    ],
)
def test_who_vouches_is_shown(origin, trusted, shown):
    page = overview_page(replace(RUN, origin=origin, trusted=trusted))
    assert shown in page
    assert page.count("The bundle is") == bool(origin)


def test_attempts_outside_the_operating_domain_are_counted():
    said = "of them did the policy see what it was not qualified on"
    assert f"In 1 {said}" in overview_page(replace(RUN, attempts_left=1))
    assert f"In none {said}" in overview_page(replace(RUN, attempts_left=0))
    assert said not in overview_page(RUN)
