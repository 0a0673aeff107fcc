// Files to begin with; ⟨cursor⟩ is where the cursor stands.

const CURSOR = "⟨cursor⟩";

const texts = {
  inventory: `"""Keep track of what is on the shelf."""


class Inventory:
    """Counts of items by name."""

    def __init__(self):
        self.items = {}

    def add(self, name, count=1):
        self.items[name] = self.items.get(name, 0) + count

    def remove(self, name, count=1):
        if name not in self.items:
            ⟨cursor⟩

        self.items[name] -= count
        if self.items[name] <= 0:
            del self.items[name]

    def total(self):
        return sum(self.items.values())
`,
  words: `"""Count words in text files."""

import re
from collections import Counter
from pathlib import Path

WORD = re.compile(r"[A-Za-z']+")


def count_words(path):
    text = Path(path).read_text(encoding="utf-8")
    ⟨cursor⟩


def most_common(folder, n=10):
    total = Counter()
    for path in sorted(Path(folder).glob("*.txt")):
        total.update(count_words(path))
    return total.most_common(n)
`,
  stack: `class Stack:
    """Last in, first out."""

    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop()

    def __len__(self):
        return ⟨cursor⟩
`,
  arguments: `import argparse


def main():
    parser = argparse.ArgumentParser(description="Show a file.")
    parser.add_argument("path", help="the file to read")
    parser.add_argument("--verbose", ⟨cursor⟩
    args = parser.parse_args()

    with open(args.path) as f:
        print(f.read())


if __name__ == "__main__":
    main()
`,
  empty: CURSOR,
};

/** A sample's text without the mark, and where the mark stood. */
export function sample(name) {
  const marked = texts[name] ?? CURSOR;
  return { text: marked.replace(CURSOR, ""), cursor: marked.indexOf(CURSOR) };
}
