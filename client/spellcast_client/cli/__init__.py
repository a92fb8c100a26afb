"""The command line `spellcast`. Modules are light: what is large is imported by the command that needs it."""
