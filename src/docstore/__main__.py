"""`python -m docstore` is the command `docstore`."""

from docstore.cli.main import main

if __name__ == "__main__":
    main(prog_name="docstore")
