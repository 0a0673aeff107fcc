"""How elements become one result, said and written: sums, counts, lists, firsts, all and any."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reduction:
    """A way to bring elements together.

    says       summaries; `{whole}` is the phrase of the elements, with where they are.
    names      beginnings of names.
    start, update, finish  of a loop; `E` is the element's expression.
    built      one expression; `G` is the inside of a generator, `H` that without its element.
    whole      the same over something to iterate over, `L`.
    kinds      of elements it takes.
    of         "untransformed" if it takes no transform, "plain" if it needs a test too, "changed"
               if it needs a test or a transform.
    """

    says: tuple[str, ...]
    names: tuple[str, ...]
    returns: str
    start: str
    update: str
    finish: str
    built: str
    whole: str
    kinds: tuple[str, ...] = ("int", "str")
    of: str = "any"
    notes: tuple[str, ...] = ()
    elements: str = "xwc"
    two_steps: bool = True
    lazy: bool = True

    def suits(self, kind: str, element: str, tested: bool, changed: bool) -> bool:
        """Whether it takes such elements."""
        if kind not in self.kinds or element not in self.elements:
            return False
        if self.of == "plain":
            return tested and not changed
        if self.of == "untransformed":
            return not changed
        return tested or changed if self.of == "changed" else True

    def step(self, made: str) -> str:
        """What a loop does with an element."""
        if self.update.count("E") > 1 and not made.replace("$", "").isalpha():
            return "$value = E\n".replace("E", made) + self.update.replace("E", "$value")
        return self.update.replace("E", made)

    def short(self, made: str, loops: str, test: str, over: str) -> str:
        """The expression: over an iterable `over` as it is, or with loops and a test."""
        if over:
            return self.whole.replace("L", over)
        condition = f" if {test}" if test else ""
        within = f"{loops}{condition}"
        return self.built.replace("H", within).replace("G", f"{made} {within}")


_NONE = "Return None if there is no such {one}."

REDUCTIONS = (
    Reduction(("=the sum of the {whole}", "=the total of the {whole}", "!Add up the {whole}"),
              ("sum", "sum_of", "total"), "int",
              "$total = 0\n", "$total += E", "return $total",
              "return sum(G)", "return sum(L)", ("int",)),
    Reduction(("=the product of the {whole}", "!Multiply the {whole} and return the product"),
              ("product", "product_of", "multiply"), "int",
              "$total = 1\n", "$total *= E", "return $total",
              "return math.prod(G)", "return math.prod(L)", ("int",),
              notes=("Return 1 if there is no such {one}.",)),
    Reduction(("=the number of {whole}", "!Count the {whole}"),
              ("count", "count", "number_of", "num"), "int",
              "$count = 0\n", "$count += 1", "return $count",
              "return len([G])", "return len(list(L))", of="plain", two_steps=False),
    Reduction(("=the number of {whole}", "!Count the {whole}"),
              ("count", "count_of", "number_of"), "int",
              "$count = 0\n", "$count += 1", "return $count",
              "return sum(1 H)", "return sum(1 for _ in L)", of="plain", two_steps=False),
    Reduction(("+a list of the {whole}", "+the {whole}", "+the list of the {whole}"),
              ("", "get", "find", "list", "select"), "list[T]",
              "$out = []\n", "$out.append(E)", "return $out",
              "return [G]", "return list(L)", of="changed"),
    Reduction(("+the {whole}, in reverse order", "+a list of the {whole}, last one first"),
              ("reversed", "backwards"), "list[T]",
              "$out = []\n", "$out.append(E)", "return $out[::-1]",
              "return [G][::-1]", "return list(L)[::-1]"),
    Reduction(("+the {whole}, in ascending order", "+a sorted list of the {whole}"),
              ("sorted", "sort"), "list[T]",
              "$out = []\n", "$out.append(E)", "return sorted($out)",
              "return sorted(G)", "return sorted(L)"),
    Reduction(("+the {whole}, in descending order", "+the {whole}, from largest to smallest"),
              ("descending", "sorted_descending"), "list[T]",
              "$out = []\n", "$out.append(E)", "$out.sort(reverse=True)\nreturn $out",
              "return sorted([G], reverse=True)", "return sorted(L, reverse=True)", ("int",)),
    Reduction(("+the different {whole}, each once, in the order of their first appearance",
               "+the {whole} without repetitions, in order of appearance"),
              ("unique", "distinct"), "list[T]",
              "$out = []\n", "if E not in $out:\n    $out.append(E)", "return $out",
              "return list(dict.fromkeys(G))", "return list(dict.fromkeys(L))"),
    Reduction(("=the number of different {whole}",),
              ("count_distinct", "count_unique"), "int",
              "$seen = set()\n", "$seen.add(E)", "return len($seen)",
              "return len({G})", "return len(set(L))", lazy=False),
    Reduction(("=the largest of the {whole}", "=the maximum of the {whole}"),
              ("max", "largest", "biggest"), "int?",
              "$best = None\n", "if $best is None or E > $best:\n    $best = E", "return $best",
              "return max((G), default=None)", "return max(L, default=None)", ("int",),
              notes=(_NONE,)),
    Reduction(("=the smallest of the {whole}", "=the minimum of the {whole}"),
              ("min", "smallest", "least"), "int?",
              "$best = None\n", "if $best is None or E < $best:\n    $best = E", "return $best",
              "return min((G), default=None)", "return min(L, default=None)", ("int",),
              notes=(_NONE,)),
    Reduction(("=the average of the {whole}", "=the mean of the {whole}"),
              ("average", "mean"), "float",
              "$total = 0\n$count = 0\n", "$total += E\n$count += 1",
              "return $total / $count if $count else 0.0",
              "$out = [G]\nreturn sum($out) / len($out) if $out else 0.0",
              "$out = list(L)\nif not $out:\n    return 0.0\nreturn sum($out) / len($out)",
              ("int",), notes=("Return 0.0 if there is no such {one}.",)),
    Reduction(("=the first of the {whole}",), ("first", "find_first"), "T?",
              "", "return E", "return None", "return next((G), None)",
              "return next(iter(L), None)", of="plain", notes=(_NONE,), two_steps=False),
    Reduction(("=the last of the {whole}",), ("last", "find_last"), "T?",
              "$found = None\n", "$found = E", "return $found",
              "$out = [G]\nreturn $out[-1] if $out else None",
              "$out = list(L)\nreturn $out[-1] if $out else None", of="plain", notes=(_NONE,)),
    Reduction(("+a dictionary with the number of times each of the {whole} occurs",
               "!Count how often each of the {whole} occurs"),
              ("count", "frequency_of", "tally"), "dict[T, int]",
              "$tally = {}\n", "$tally[E] = $tally.get(E, 0) + 1", "return $tally",
              "return dict(Counter(G))", "return dict(Counter(L))", of="untransformed"),
    Reduction(("=a string of the {whole}, joined by spaces",
               "!Join the {whole} with spaces between them"),
              ("join", "joined"), "str",
              "$out = []\n", "$out.append(E)", 'return " ".join($out)',
              'return " ".join(G)', 'return " ".join(L)', ("str",), elements="w"),
    Reduction(("=a string of the {whole}", "!Keep only the {whole}", "=only the {whole}"),
              ("keep", "only", "extract"), "str",
              '$out = ""\n', "$out += E", "return $out",
              'return "".join(G)', 'return "".join(L)', ("str",), "plain", elements="c"),
    Reduction(("=the combined length of the {whole}",
               "=how many characters the {whole} have in all"),
              ("total_length", "combined_length"), "int",
              "$total = 0\n", "$total += len(E)", "return $total",
              "return sum(map(len, [G]))", "return sum(map(len, L))", ("str",), elements="w"),
    Reduction(("=the longest of the {whole}",), ("longest",), "str",
              '$best = ""\n', "if len(E) > len($best):\n    $best = E", "return $best",
              'return max((G), key=len, default="")', 'return max(L, key=len, default="")',
              ("str",), elements="w",
              notes=("Of several, return the first. Return an empty string if there is none.",)),
)  # fmt: skip
