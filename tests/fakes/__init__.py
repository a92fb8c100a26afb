"""Fakes of the ports: they keep what the real ones promise, and nothing more."""
