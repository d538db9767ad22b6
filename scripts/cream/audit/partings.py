"""Where two runs part: the artifacts that differ though all they were made from is the same, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cream.audit.cause import HARDWARE, KINDS, SEED, SETTINGS, Cause, Job
from cream.audit.causes import causes, none_recorded, uncounted
from cream.audit.harmless import harmless
from cream.audit.pairing import Pair, Pairing


@dataclass(frozen=True)
class Ranked:
    """`in_spite`: how many artifacts are the same in both runs though the same difference stood between their jobs."""

    cause: Cause
    in_spite: int


@dataclass(frozen=True)
class Parting:
    """`pairs`: what two jobs made that differs. `causes`: never empty, the likeliest first. `uncounted`: recorded
    differences that are no causes."""

    pairs: list[Pair]
    stage: str
    causes: list[Ranked]
    uncounted: dict[str, int]


class Partings:
    """Of two runs, or of two artifacts: those `asked` about and all that they were made from.

    `differing`, `same`: the pairs, in order of making; `may_differ`: those whose difference says nothing. `roots`:
    where they part, in that order. `further`: causes at artifacts that differ already by what they were made from,
    with those artifacts.
    """

    def __init__(self, pairing: Pairing, asked: Pair | None = None):
        self.pairing = pairing
        self._found: dict[Pair, list[Cause]] = {}
        inside = pairing.inputs if asked is None else pairing.under(asked)
        self.pairs = [pair for pair in pairing.pairs if pair in inside]
        self.same = [pair for pair in self.pairs if pairing.same(pair)]
        self.differing = [pair for pair in self.pairs if not (pairing.same(pair) or harmless(pair.ours))]
        self.may_differ = [pair for pair in self.pairs if not pairing.same(pair) and harmless(pair.ours)]
        # Every artifact of the two runs bears witness, whatever was asked about.
        self._in_spite = Counter(
            self._key(pair, cause)
            for pair in pairing.pairs
            if pairing.same(pair)
            for cause in dict.fromkeys(self._causes(pair))
        )
        apart = set(self.differing)
        roots = [pair for pair in self.differing if apart.isdisjoint(pairing.below(pair))]
        self.roots = [self._parting(pairs) for pairs in self._by_job(roots)]
        self.without_effect = self._without_effect()
        self.further = self._further([pair for pair in self.differing if pair not in set(roots)])

    def made_from(self, pair: Pair) -> list[Pair]:
        """Those of the pairs that another one went into."""
        found = {pair: None}
        for each in self.pairs:
            if not found.keys().isdisjoint(self.pairing.below(each)):
                found[each] = None
        return list(found)[1:]

    def _jobs(self, pair: Pair) -> tuple[Job, Job]:
        ours, theirs = self.pairing.records(pair)
        return Job(self.pairing.ours, ours), Job(self.pairing.theirs, theirs)

    def _causes(self, pair: Pair) -> list[Cause]:
        if pair not in self._found:
            self._found[pair] = causes(*self._jobs(pair), self.pairing.inputs[pair])
        return self._found[pair]

    def _key(self, pair: Pair, cause: Cause) -> tuple[str, str, str]:
        """What is the same difference at another artifact: a setting's only where the same stage has it."""
        stage = self.pairing.records(pair)[0].stage if cause.kind in (SETTINGS, SEED, HARDWARE) else ""
        return stage, cause.kind, cause.said

    def _by_job(self, pairs: list[Pair]) -> list[list[Pair]]:
        jobs: dict[tuple[str, str], list[Pair]] = {}
        for pair in pairs:
            ours, theirs = self.pairing.records(pair)
            jobs.setdefault((ours.path, theirs.path), []).append(pair)
        return list(jobs.values())

    def _parting(self, pairs: list[Pair]) -> Parting:
        ours, theirs = self._jobs(pairs[0])
        found = self._causes(pairs[0]) or [none_recorded(ours, theirs)]
        ranked = [Ranked(cause, self._in_spite[self._key(pairs[0], cause)]) for cause in found]
        ranked.sort(key=lambda each: (each.in_spite > 0, KINDS.index(each.cause.kind)))
        return Parting(pairs, ours.record.stage, ranked, uncounted(ours, theirs))

    def _without_effect(self) -> dict[tuple[str, str], int]:
        """Kind and words of recorded differences that stand between no two artifacts that differ → at how many."""
        found: Counter = Counter()
        for (_, *cause), count in self._in_spite.items():
            found[tuple(cause)] += count
        told = {(cause.kind, cause.said) for pair in self.differing for cause in self._causes(pair)}
        return {cause: count for cause, count in found.items() if cause not in told}

    def _further(self, pairs: list[Pair]) -> dict[Cause, list[Pair]]:
        told = {self._key(parting.pairs[0], ranked.cause)[1:] for parting in self.roots for ranked in parting.causes}
        found: dict[Cause, list[Pair]] = {}
        for pair in pairs:
            for cause in self._causes(pair):
                if (cause.kind, cause.said) not in told:
                    found.setdefault(cause, []).append(pair)
        return found
