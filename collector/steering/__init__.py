"""What the province wants of its endpoints' agents: settings and releases, and how each is told of them."""
