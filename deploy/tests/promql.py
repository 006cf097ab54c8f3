"""Holds a PromQL expression against the series that there really are.

An expression is wrong when it names a metric, a label or a label's value that no process shows, or compares two
vectors whose labels can never be equal. Prometheus answers such a query with nothing, and an alert on it never fires.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Final

import promql_parser as parser

SET_OPERATORS: Final = ("and", "or", "unless")
LABEL_MAKERS: Final = ("label_replace", "label_join")

Labels = frozenset[str]


@dataclass
class Series:
    """All series of a set of scrapes: name → label → the values that it was seen with."""

    metrics: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def add(self, name: str, labels: Mapping[str, str]) -> None:
        known = self.metrics.setdefault(name, {})
        for label, value in labels.items():
            known.setdefault(label, set()).add(value)


class WrongExpression(Exception):
    """The text says what is wrong."""


def parse(expression: str) -> parser.Expr:
    """An expression of a rule, or of a panel: Grafana's interval is taken for a minute."""
    try:
        return parser.parse(expression.replace("$__rate_interval", "1m"))
    except ValueError as error:
        raise WrongExpression(f"{expression}: {error}") from error


@dataclass
class Reader:
    """Finds the labels that an expression's result has; raises WrongExpression for what can't be."""

    series: Series

    def check(self, expression: str) -> None:
        try:
            self.labels(parse(expression))
        except WrongExpression as error:
            raise WrongExpression(f"{expression}: {error}") from None

    @singledispatchmethod
    def labels(self, node: parser.Expr) -> Labels | None:
        """The labels of the series that an expression gives; None for a number or a text."""
        raise WrongExpression(f"{type(node).__name__} is not understood here")

    @labels.register(parser.NumberLiteral)
    @labels.register(parser.StringLiteral)
    def _(self, _node: parser.Expr) -> None:
        return None

    @labels.register(parser.ParenExpr)
    @labels.register(parser.UnaryExpr)
    @labels.register(parser.SubqueryExpr)
    def _(self, node: parser.Expr) -> Labels | None:
        return self.labels(node.expr)

    @labels.register
    def _(self, node: parser.MatrixSelector) -> Labels:
        return self._selected(node.vector_selector)

    @labels.register
    def _(self, node: parser.VectorSelector) -> Labels:
        return self._selected(node)

    @labels.register
    def _(self, node: parser.Call) -> Labels | None:
        vectors = [found for found in map(self.labels, node.args) if found is not None]
        name = node.func.name
        if name == "vector":
            return frozenset()
        if not vectors:
            return None
        labels = frozenset().union(*vectors)
        if name == "histogram_quantile":
            _require("le", labels)
            return labels - {"le"}
        if name in LABEL_MAKERS:
            made, *sources = _label_arguments(name, [arg.val for arg in node.args[1:]])
            for source in sources:
                _require(source, labels)
            return labels | {made}
        return labels

    @labels.register
    def _(self, node: parser.AggregateExpr) -> Labels:
        inner = self.labels(node.expr) or frozenset()
        made = {node.param.val} if str(node.op).startswith("count_values") else set()
        if node.modifier is None:
            return frozenset(made)
        named = frozenset(node.modifier.labels)
        for label in named:
            _require(label, inner)
        return (named if node.modifier.type == parser.AggModifierType.By else inner - named) | made

    @labels.register
    def _(self, node: parser.BinaryExpr) -> Labels | None:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        if left is None or right is None:
            return right if left is None else left
        operator = str(node.op)
        if operator == "or":
            return left | right
        common = self._matched(node, left, right)
        if operator in SET_OPERATORS or node.modifier is None or node.modifier.group_labels is not None:
            return left | frozenset((node.modifier and node.modifier.group_labels) or ())
        return common

    def _matched(self, node: parser.BinaryExpr, left: Labels, right: Labels) -> Labels:
        """The labels by which two vectors are matched; both must have them."""
        matching = node.modifier.matching if node.modifier is not None else None
        if matching is not None and matching.type == parser.LabelModifierType.Include:
            for label in matching.labels:
                _require(label, left)
                _require(label, right)
            return frozenset(matching.labels)
        ignored = frozenset(matching.labels if matching is not None else ())
        if left - ignored != right - ignored:
            raise WrongExpression(f"{sorted(left - ignored)} never match {sorted(right - ignored)}")
        return left - ignored

    def _selected(self, node: parser.VectorSelector) -> Labels:
        known = self.series.metrics.get(node.name)
        if known is None:
            raise WrongExpression(f"nobody shows {node.name}")
        for matcher in node.matchers.matchers:
            _require(matcher.name, known, node.name)
            for wanted in _alternatives(matcher):
                if not any(re.fullmatch(wanted, value) for value in known[matcher.name]):
                    raise WrongExpression(f"no {node.name} has {matcher.name}={wanted}, only {known[matcher.name]}")
        return frozenset(known)


def _alternatives(matcher: parser.Matcher) -> Iterator[str]:
    """Patterns each of which must have a value that it fits; `a|b` is two of them."""
    is_pattern = matcher.op in (parser.MatchOp.Re, parser.MatchOp.NotRe)
    for part in matcher.value.split("|") if is_pattern else [matcher.value]:
        yield part if is_pattern else re.escape(part)


def _label_arguments(function: str, texts: list[str]) -> list[str]:
    """The label that a function makes, and those that it is made from."""
    if function == "label_replace":
        made, _template, source, _pattern = texts
        return [made, source]
    made, _separator, *sources = texts
    return [made, *sources]


def _require(label: str, labels: Iterable[str], of: str = "what it is applied to") -> None:
    if label not in labels:
        raise WrongExpression(f"{of} has no label {label}, only {sorted(labels)}")
