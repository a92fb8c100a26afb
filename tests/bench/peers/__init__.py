"""Other engines, with the same three steps against the same tools, each in an environment of its own."""
