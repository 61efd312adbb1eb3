"""`python -m speechprep` is the command `speechprep`."""

from speechprep.cli import main

if __name__ == "__main__":
    main()
