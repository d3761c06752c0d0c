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

    def but(self, objection: str) -> "Freshness":
        """The same with an objection more, hence not proved."""
        return self._replace(proved=False, objections=(objection, *self.objections))


def freshness(seeds: Seeds, sha256: str, provenance: dict[str, Any] | None) -> Freshness:
    """Judge a policy by its key and its provenance against the sequence that is to judge it.

    Args:
        seeds: of the qualification.
        sha256: of the policy; empty where no file determines what it does.
        provenance: `robot_rlaas.jobs.policies.Provenance`, if it has one.
    """
    told = learned_from(seeds, provenance)
    if not sha256:
        return told.but("no file determines what this policy does, so it may have met any episode")
    if seeds.key != key_of(sha256):
        return told.but("the episodes are not drawn with a key made from the policy's SHA-256")
    keyed = "the episodes are drawn with a key made from the policy's SHA-256: they did not exist before the policy did"
    return told._replace(statements=(keyed, *told.statements))


def learned_from(seeds: Seeds, provenance: dict[str, Any] | None) -> Freshness:
    """What a policy says of the data it was made from: proof only against its own words."""
    sequences = (provenance or {}).get("sequences")
    if sequences is None:
        return Freshness(True, ("the policy does not say what it learned from",), ())
    told = ", ".join(_told(sequence) for sequence in sequences) or "nothing"
    found = Freshness(True, (f"the policy says that it learned from {told}",), ())
    if any(_same(sequence, seeds) for sequence in sequences):
        return found.but("the policy says that it learned from these very episodes")
    return found


def _told(sequence: dict[str, Any]) -> str:
    seed, space = sequence.get("seed"), sequence.get("space")
    return "data of unknown origin" if seed is None or space is None else f"{space} of seed {seed}"


def _same(sequence: dict[str, Any], seeds: Seeds) -> bool:
    """Whether this is how `seeds` stands in a file, whatever else stands beside it."""
    key = tuple(sequence.get("key") or ())
    return (sequence.get("seed"), sequence.get("space"), key) == (seeds.seed, seeds.space.name, seeds.key)
