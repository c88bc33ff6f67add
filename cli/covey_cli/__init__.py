"""The root command `covey`. Imports no part of the system: subcommands come by entry point."""
