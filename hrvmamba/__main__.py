"""`python -m hrvmamba`, the same as the `hrvmamba` command."""

from hrvmamba.cli.main import main

raise SystemExit(main())
