"""The `hrvmamba` command: main.py finds the subcommands, each of which is a module here."""
