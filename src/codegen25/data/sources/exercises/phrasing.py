"""One thing said in many ways: a marked sentence of a draft becomes a docstring's summary."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

from codegen25.data.sources.exercises.draft import SLOT, Draft, Param
from codegen25.data.sources.exercises.inputs import KINDS

NUMBER = ("Return {}", "Return {}", "Return {}", "Returns {}", "Compute {}",
          "Compute and return {}", "Calculate {}", "Find {}", "Get {}", "Determine {}",
          "Write a function that returns {}",
          "This function returns {}", "Work out {}", "Calculate and return {}")  # fmt: skip
VALUE = ("Return {}", "Return {}", "Return {}", "Returns {}", "Get {}", "Find {}", "Give back {}",
         "Write a function that returns {}", "This function returns {}")  # fmt: skip
COLLECTION = ("Return {}", "Return {}", "Return {}", "Returns {}", "Build {}", "Create {}",
              "Get {}", "Produce {}", "Create and return {}", "Build and return {}", "Make {}",
              "Write a function that returns {}", "This function returns {}")  # fmt: skip
QUESTION = ("Return {}", "Return {}", "Find out {}", "Determine {}", "Work out {}", "Compute {}")
TRUTH = ("Return True if {}, and False otherwise", "Return True if {}, False otherwise",
         "Return True if {}, otherwise return False", "Return whether {}", "Check whether {}",
         "Check if {}", "Determine whether {}", "Determine if {}", "Test whether {}",
         "Tell whether {}", "Returns True if {}, else False", "Checks if {}",
         "Write a function that checks whether {}", "Return True if {}, else False")  # fmt: skip
GIVEN = {"=": ("return {}", "return {}", "find {}", "get {}"),
         "#": ("return {}", "return {}", "compute {}", "find {}", "calculate {}"),
         "+": ("return {}", "return {}", "build {}", "create {}"),
         "?": ("return True if {}, and False otherwise", "check whether {}", "determine if {}",
               "return whether {}")}  # fmt: skip
TAKES = {"=": "returns {}", "#": "returns {}", "+": "returns {}", "?": "checks whether {}"}
_SECOND = {"return", "keep", "join", "give", "leave"}
_NOUN = re.compile(r"@([a-z]+)")


class Speaker:
    """Says the sentences of one draft in one manner: what its parameters are called stays the same.

    chosen  the names of the slots.
    """

    def __init__(self, draft: Draft, chosen: dict[str, str], rng: Random) -> None:
        self._draft, self._chosen, self._rng = draft, chosen, rng
        self._kinds = {param.slot: KINDS[param.kind] for param in draft.params}
        self._nouns = Counter(kind.noun for kind in self._kinds.values())
        self._tick = rng.choice(("", "", "", "`", "`", "``"))
        self._manner = rng.choice(("name", "name", "noun", "noun", "new"))
        self._met: set[str] = set()

    def sentence(self, phrase: str) -> str:
        """The phrase with a capital letter, unless it begins with a name, and a full stop."""
        named = phrase.split(" ")[0] in self._chosen.values()
        return (phrase if named else phrase[0].upper() + phrase[1:]) + "."

    def name(self, slot: str) -> str:
        """A parameter's name as it stands in a sentence."""
        return self._tick + self._chosen[slot] + self._tick

    def summary(self) -> str:
        """A sentence, with its full stop, that says what the function does."""
        said = self._rng.choice(self._draft.says)
        mark, text = said[0], said[1:]
        if mark == "+" and not text.startswith("a "):
            mark = "="
        elif mark == "=" and self._draft.returns in ("int", "int?", "float"):
            mark = "#"
        spoken = [param for param in self._draft.params if "@" + param.slot in text]
        if spoken and len(spoken) < 3 and self._rng.random() < 0.25:
            return self._given(mark, text, spoken)
        done = self.say(text)
        if mark == "!":
            return _third_person(done) + "." if self._rng.random() < 0.2 else done + "."
        if mark == "?":
            return self._rng.choice(TRUTH).format(done) + "."
        if text.startswith("how "):
            return self._rng.choice(QUESTION).format(done) + "."
        if self._rng.random() < 0.05:
            return self.sentence(done)
        verbs = {"#": NUMBER, "=": VALUE, "+": COLLECTION}[mark]
        return self._rng.choice(verbs).format(done) + "."

    def _given(self, mark: str, text: str, spoken: list[Param]) -> str:
        named = self._rng.random() < 0.5 or any(
            self._nouns[self._kinds[param.slot].noun] > 1 for param in spoken
        )
        if named:
            self._tick = self._tick or "`"
        phrases = []
        for param in spoken:
            phrase = self._rng.choice(self._kinds[param.slot].phrases)
            phrases.append(f"{phrase} {self.name(param.slot)}" if named else phrase)
            self._met.add(param.slot)
        self._manner = "name" if named and self._rng.random() < 0.6 else "new"
        done, given = self.say(text), " and ".join(phrases)
        form = self._rng.choice(("given", "given", "given", "you", "task", "takes"))
        if form == "takes" and mark != "!":
            return f"Write a function that takes {given} and {TAKES[mark].format(done)}."
        verb = self._rng.choice(GIVEN[mark]).format(done) if mark != "!" else done
        low, high = verb[0].lower() + verb[1:], verb[0].upper() + verb[1:]
        if form == "you":
            return f"You are given {given}. {high}."
        if form == "task":
            return f"You are given {given}. Your task is to {low}."
        return f"Given {given}, {low}."

    def say(self, text: str) -> str:
        """A sentence with names and noun phrases in place of its slots."""
        text = _NOUN.sub(lambda match: self._phrase(match[1]), text)
        return SLOT.sub(lambda match: self.name(match[1]), text)

    def _phrase(self, slot: str) -> str:
        kind = self._kinds[slot]
        if self._manner == "name" or self._nouns[kind.noun] > 1:
            return self.name(slot)
        if self._manner == "new" and slot not in self._met:
            self._met.add(slot)
            return self._rng.choice(kind.phrases)
        return self._rng.choice((f"the {kind.noun}", f"the {kind.noun}", f"the given {kind.noun}"))

    def notes(self) -> list[str]:
        """The sentences that must be said too."""
        if self._manner == "new":
            self._met.update(self._kinds)
        return [self.say(note) for note in self._draft.notes]

    def arguments(self) -> list[tuple[str, str]]:
        """Each parameter's name and what it is, for a section about arguments."""
        described = []
        for param in self._draft.params:
            phrase = self._rng.choice(self._kinds[param.slot].phrases)
            described.append((self._chosen[param.slot], phrase))
        return described

    def returned(self) -> str:
        """What is returned, for a section about that, or empty."""
        said = self._draft.says[0]
        if said[0] == "!":
            return ""
        self._manner = "name"
        text = self.say(said[1:])
        return f"True if {text}, False otherwise" if said[0] == "?" else text


def _third_person(sentence: str) -> str:
    words = sentence.split(" ")
    words[0] = _conjugated(words[0])
    for i in range(1, len(words)):
        if words[i - 1] == "and" and words[i] in _SECOND:
            words[i] = _conjugated(words[i])
    return " ".join(words)


def _conjugated(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "z")):
        return verb + "es"
    return verb[:-1] + "ies" if verb[-1] == "y" and verb[-2] not in "aeiou" else verb + "s"
