"""Context from other files: what a repository says about the place where the cursor stands.

    repository = Repository(folder)                  # an index in memory; refresh() after changes
    snippets = gather(repository, path, prefix, suffix, edits)
    ids = render(snippets, tokenizer, budget)        # stand before the prompt's own ids

`Repository(folder)`, `.refresh()`, `.relative(path)` read a folder; `View.of({path: text})` is the
same without a disk. `gather` mixes three sources, each a pure function over a view that can be
asked alone: `definitions` of imported names (Python), `similar` windows of other files, and
`edited` regions. Callers that have snippets of their own (llama.cpp's `input_extra`, Tabby's
`declarations` and `relevant_snippets_*`) make `Snippet`s or `Edit`s of them. `Pinned` keeps what
was rendered while the cursor stays in a function, so that keys and values of the ids in front of
the prompt stay valid from keystroke to keystroke.

Nothing here reaches the network, runs a program or imports torch.
"""

from codegen25.sample.context.definitions import definitions
from codegen25.sample.context.edits import edited
from codegen25.sample.context.gather import gather
from codegen25.sample.context.pinned import Pinned
from codegen25.sample.context.render import Style, render
from codegen25.sample.context.repository import Repository
from codegen25.sample.context.similar import similar
from codegen25.sample.context.snippet import DEFINITION, EDIT, SIMILAR, Edit, Snippet
from codegen25.sample.context.view import File, View
from codegen25.sample.context.walk import Limits

__all__ = [
    "DEFINITION",
    "EDIT",
    "SIMILAR",
    "Edit",
    "File",
    "Limits",
    "Pinned",
    "Repository",
    "Snippet",
    "Style",
    "View",
    "definitions",
    "edited",
    "gather",
    "render",
    "similar",
]
