"""Who is on the LAN, and who pretends to be: scans gently, listens, and tells what it saw (docs/probe.md).

``frames`` and ``names`` read what others sent (pure; everything in it is hostile), ``building`` makes what is sent,
``devices`` remembers who was seen, ``claims`` and ``authorities`` notice who claims what, ``scan`` says whom to ask
when, ``watch`` joins them, ``link`` holds the socket and ``run`` the loop.
"""
