"""The graph: what a primitive must say of itself, nodes, scopes, checking and printing."""
