"""Needs: which step comes before which, and the ways in which a file can get that wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.core.workflow import Need
from penstock.load import tree
from penstock.load.draft import Draft
from penstock.load.findings import Findings
from penstock.load.suggest import did_you_mean, lines
from penstock.load.tree import Node


@dataclass(frozen=True, slots=True)
class Graph:
    """`before` has for each step all that come before it, directly or through others.

    `doubtful` are the steps for which that is not known, because a need on the way is wrong.
    """

    needs: Mapping[str, tuple[Need, ...]]
    before: Mapping[str, frozenset[str]]
    doubtful: frozenset[str]

    def lacks(self, step: str, other: str) -> bool:
        """Whether `other` is certainly not known to end before `step` starts."""
        return other not in self.before[step] and step not in self.doubtful

    def needs_line(self, step: str, other: str) -> str:
        """The `needs:` that a step would have with one more."""
        words = [
            f"{{id: {need.step}, accept: [skipped]}}" if need.accept_skipped else need.step for need in self.needs[step]
        ]
        return f"needs: [{', '.join([*words, other])}]"


def graph(drafts: Sequence[Draft], findings: Findings) -> Graph:
    """The graph of these steps; unknown, repeated and circular needs are problems."""
    known = {draft.id: draft for draft in drafts}
    edges = {draft.id: _edges(draft, known, findings) for draft in drafts}
    needs = {draft.id: tuple(need for need, _ in edges[draft.id].values()) for draft in drafts}
    _circles(edges, findings)
    before = {step: _before(step, edges) for step in edges}
    wrong = {draft.id for draft in drafts if _is_wrong(draft, known)}
    doubtful = frozenset(step for step in edges if wrong & {step, *before[step]})
    return Graph(needs, before, doubtful)


_Edges = dict[str, tuple[Need, Node]]


def _edges(draft: Draft, known: Mapping[str, Draft], findings: Findings) -> _Edges:
    edges: _Edges = {}
    for need, node in draft.needs:
        if need.step == draft.id:
            findings.wrong(node, f"`{draft.id}` needs itself", "remove this need")
        elif need.step not in known:
            findings.wrong(node, f"there is no step `{need.step}`", _which(need.step, draft, known))
        elif need.step in edges:
            findings.wrong(node, f"`{need.step}` is needed twice", "name it once")
        else:
            edges[need.step] = (need, node)
    source, node_of_source = draft.streams_from, draft.fields.node("foreach")
    if source is None or node_of_source is None:
        return edges
    if source == draft.id:
        findings.wrong(node_of_source, f"`{draft.id}` maps over its own records", "map over those of an earlier step")
    elif source not in known:
        findings.wrong(node_of_source, f"there is no step `{source}`", _which(source, draft, known))
    else:
        edges.setdefault(source, (Need(source), node_of_source))
    return edges


def _which(name: str, draft: Draft, known: Mapping[str, Draft]) -> str | None:
    others = [step for step in known if step != draft.id and not step.startswith("#")]
    return lines(did_you_mean(name, others), f"the other steps are {', '.join(others)}" if others else None)


def _is_wrong(draft: Draft, known: Mapping[str, Draft]) -> bool:
    """Whether a need that was meant is missing."""
    written = draft.fields.mapping.get("needs")
    meant = len(written.elements) if isinstance(written, tree.Sequence) else 0 if written is None else 1
    source = draft.streams_from
    unknown = any(need.step not in known for need, _ in draft.needs)
    return meant != len(draft.needs) or unknown or (source is not None and source not in known)


def _before(step: str, edges: Mapping[str, _Edges]) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(edges[step])
    while waiting:
        other = waiting.pop()
        if other not in seen:
            seen.add(other)
            waiting.extend(edges[other])
    return frozenset(seen - {step})


def _circles(edges: Mapping[str, _Edges], findings: Findings) -> None:
    told: set[str] = set()
    for step in edges:
        circle = _circle(step, edges)
        if circle and not told & set(circle):
            told.update(circle)
            names = " → ".join(f"`{name}`" for name in [*circle, step])
            node = edges[step][(circle[1:] or circle)[0]][1]
            findings.wrong(node, f"these steps need each other: {names}", "each → is a need; remove one of them")


def _circle(step: str, edges: Mapping[str, _Edges]) -> list[str]:
    """The shortest way from a step by its needs back to it, without its end; empty if there is none."""
    came_from: dict[str, str] = {}
    waiting = deque([step])
    while waiting:
        current = waiting.popleft()
        for other in edges[current]:
            if other == step:
                return _way(current, step, came_from)
            if other not in came_from:
                came_from[other] = current
                waiting.append(other)
    return []


def _way(last: str, step: str, came_from: Mapping[str, str]) -> list[str]:
    way = [last]
    while way[-1] != step:
        way.append(came_from[way[-1]])
    return way[::-1]
