"""Programs that nobody trusts, run so that they can do no harm and cannot lie about the result."""

from codegen25.evaluate.sandbox.pool import Sandbox
from codegen25.evaluate.sandbox.program import STATUSES, Limits, Program, Verdict

__all__ = ["STATUSES", "Limits", "Program", "Sandbox", "Verdict"]
