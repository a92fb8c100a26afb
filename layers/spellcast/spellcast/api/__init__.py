"""The HTTP API: routes, the shapes of bodies, and errors as answers."""
