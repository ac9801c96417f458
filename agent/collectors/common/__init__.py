"""What several collectors share: reading logs that turn over, talking to programs and to the network.

Nothing here registers a collector; those are the modules one level up.
"""
