"""Part ``links``: the LAN's gateway, and the ways to the data centre over the dedicated network and the Internet."""
