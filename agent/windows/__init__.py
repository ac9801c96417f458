"""What Windows is asked: the registry, WMI, the event log, the firmware. Reading stands apart from parsing, and is
imported on Windows only; parsers take what was read and run anywhere."""
