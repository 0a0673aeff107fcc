"""`python -m codegen25`."""

from codegen25.cli import main

if __name__ == "__main__":
    main()
