"""What a simulation counts; written to the log every ten seconds."""

from __future__ import annotations

from msgspec import Struct


class Figures(Struct):
    """Since the start, over all endpoints.

    ``handshakes`` are full ones, ``resumed`` those spared by a session ticket. ``held_back`` counts answers that said
    to come later (429, 503), ``held_back_again`` those to a request that had kept to such an answer and was sent away
    once more. ``unanswered`` requests were lost on the way.
    """

    handshakes: int = 0
    resumed: int = 0
    unanswered: int = 0
    batches: int = 0
    heartbeats: int = 0
    events: int = 0
    held_back: int = 0
    held_back_again: int = 0
    speaking: int = 0
