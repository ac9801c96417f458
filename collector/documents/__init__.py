"""Status documents: what is now true of an endpoint, what it was, and what changed."""
