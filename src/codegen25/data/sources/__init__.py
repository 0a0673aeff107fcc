"""Where source code comes from: folders, archives, packages, tables, datasets.

A source is what a user names; `tasks` cuts it into pieces that are read anywhere, in any order.
"""

from codegen25.data.sources.archives import Archive
from codegen25.data.sources.exercises import Exercises
from codegen25.data.sources.folder import Folder
from codegen25.data.sources.hub import HuggingFace
from codegen25.data.sources.packages import Debian, Npm, Pip
from codegen25.data.sources.parse import FORMS, KINDS, from_table, parse, table_of
from codegen25.data.sources.python import STDLIB, Installed, StandardLibrary
from codegen25.data.sources.rows import Columns
from codegen25.data.sources.table import Table
from codegen25.data.sources.task import TASK_BYTES, Source, Task

__all__ = [
    "FORMS",
    "KINDS",
    "STDLIB",
    "TASK_BYTES",
    "Archive",
    "Columns",
    "Debian",
    "Exercises",
    "Folder",
    "HuggingFace",
    "Installed",
    "Npm",
    "Pip",
    "Source",
    "StandardLibrary",
    "Table",
    "Task",
    "from_table",
    "parse",
    "table_of",
]
