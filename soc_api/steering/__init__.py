"""What people want of the endpoints' agents, with its audit entries."""
