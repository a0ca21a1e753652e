"""`python -m unskew`: the same as the `unskew` command."""

from unskew.cli.main import main

if __name__ == "__main__":
    main()
