"""Settings for the agents: published by people for groups of machines, worked out for each, signed when it asks."""
