"""Looks at the files of backups: is the newest one there, young, large and whole."""
