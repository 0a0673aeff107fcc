"""Compile the kernels now rather than on first use; what an installation may run."""

from __future__ import annotations

from codegen25.sample.native.build import MissingError, library

if __name__ == "__main__":
    try:
        library()
    except MissingError as reason:
        print(f"no kernels ({reason}); codegen25 will compute with torch")
