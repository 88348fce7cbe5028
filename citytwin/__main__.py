"""`python -m citytwin`: the command where the script is not on the path."""

from citytwin.cli import main

if __name__ == "__main__":
    main()
