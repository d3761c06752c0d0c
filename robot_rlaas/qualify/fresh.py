"""Whether a policy can have met the episodes that judge it."""

from typing import Any, NamedTuple

from robot_rlaas.cell.seeds import Seeds, key_of, sequence_json


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
        provenance: from its policy.json or its bundle's manifest, if it has one.
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
        told = [f"{s.get('space')} of seed {s.get('seed')}" for s in learned_from]
        statements.append(f"the policy says that it learned from {', '.join(told) or 'nothing'}")
        if sequence_json(seeds) in learned_from:
            objections.append("the policy says that it learned from these very episodes")
    return Freshness(not objections, tuple(statements), tuple(objections))
