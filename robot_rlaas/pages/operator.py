"""The operator's page: what its script fills in, and the script."""

from markupsafe import Markup

from robot_rlaas.pages.site import TEMPLATES, number, render


def operator_page(cell: str, bundle: str, force_N: float) -> str:
    """HTML that loads nothing but the news from where it came from, and the 3D scene.

    Args:
        cell: its name.
        bundle: which one, and who vouches for it.
        force_N: the wrist force that stops the arm.
    """
    look, script = (Markup((TEMPLATES / f"operator.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))
    return render("operator.html.j2", cell=cell, bundle=bundle, force_N=number(force_N), look=look, script=script)
