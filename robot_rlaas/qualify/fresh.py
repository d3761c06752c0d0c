"""Whether a policy can have met the episodes that judge it."""

from typing import Any, NamedTuple

from robot_rlaas.cell.seeds import Seeds, key_of


class Freshness(NamedTuple):
    """What is known of the episodes' independence from the policy.

    Attributes:
        proved: nothing that the policy learned from can have held these episodes.
        statements: why, for the report.
        objections: why not.
    """

    proved: bool
    statements: tuple[str, ...]
    objections: tuple[str, ...]


def freshness(seeds: Seeds, sha256: str, provenance: dict[str, Any] | None) -> Freshness:
    """Judge a policy's provenance against the sequence that is to judge it.

    Args:
        seeds: of the qualification.
        sha256: of the policy; empty where no file determines what it does.
        provenance: `robot_rlaas.policies.Provenance`, if it has one.
    """
    statements, objections = [], []
    if not sha256:
        objections.append("no file determines what this policy does, so it may have met any episode")
    elif seeds.key == key_of(sha256):
        statements.append(
            "the episodes are drawn with a key made from the policy's SHA-256: they did not exist before the policy did"
        )
    else:
        objections.append("the episodes are not drawn with a key made from the policy's SHA-256")
    learned_from = (provenance or {}).get("sequences")
    if learned_from is None:
        statements.append("the policy does not say what it learned from")
    else:
        told = ", ".join(_told(sequence) for sequence in learned_from) or "nothing"
        statements.append(f"the policy says that it learned from {told}")
        if any(_same(sequence, seeds) for sequence in learned_from):
            objections.append("the policy says that it learned from these very episodes")
    return Freshness(not objections, tuple(statements), tuple(objections))


def _told(sequence: dict[str, Any]) -> str:
    seed, space = sequence.get("seed"), sequence.get("space")
    return "data of unknown origin" if seed is None or space is None else f"{space} of seed {seed}"


def _same(sequence: dict[str, Any], seeds: Seeds) -> bool:
    """Whether this is how `seeds` stands in a file, whatever else stands beside it."""
    key = tuple(sequence.get("key") or ())
    return (sequence.get("seed"), sequence.get("space"), key) == (seeds.seed, seeds.space.name, seeds.key)
