"""Reading endpoints: the list, one with its documents and their history, its events. Everything through a
scope."""
