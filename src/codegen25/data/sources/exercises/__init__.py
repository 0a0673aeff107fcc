"""A source that needs no files: exercises written by a grammar.

blocks, pipelines, combinators → Draft     what is to be computed, several ways    draft.py
Draft → Exercise                           names, phrases, layout, examples        render.py
Exercise i of a seed → files               repositories of some dozens             source.py
"""

from codegen25.data.sources.exercises.source import Exercises, ExercisesTask

__all__ = ["Exercises", "ExercisesTask"]
