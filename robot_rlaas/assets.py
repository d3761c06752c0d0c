"""Where the shipped data lie: in the checkout, or inside the installed wheel."""

from pathlib import Path

from robot_rlaas.cell.errors import InputError, did_you_mean

PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """The folder `name` ("sim_assets", "hardware", "launch" or "policies")."""
    checkout = PACKAGE.parent / name
    return checkout if checkout.is_dir() else PACKAGE / "share" / name


def find(reference: str, folder: Path, suffix: str) -> Path:
    """A file named by its shipped name or by a path.

    Args:
        reference: "peg_insertion", or a path that exists.
        folder: where shipped files of this kind lie.
        suffix: their ending, with the dot.

    Raises:
        InputError: listing the shipped names.
    """
    shipped = folder / f"{reference}{suffix}"
    if shipped.is_file():
        return shipped
    path = Path(reference)
    if path.is_file():
        return path.resolve()
    names = sorted(p.stem for p in folder.glob(f"*{suffix}"))
    message = f"'{reference}' is neither a shipped name nor a file; shipped in {folder.name}/: {', '.join(names)}"
    raise InputError(message, fix=did_you_mean(reference, names))
