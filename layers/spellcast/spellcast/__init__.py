"""Spellcast: casts of spells, as a serverless bundle."""

__version__ = "0.1.0"
