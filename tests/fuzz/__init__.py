"""Every parser of hostile input, fuzzed: :mod:`tests.fuzz.registry` says which there are."""
