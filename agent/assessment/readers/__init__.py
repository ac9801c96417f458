"""What looks at a machine: ``read_*`` touches it, ``parse_*`` is pure and takes whatever stands there."""
