"""What people do with rules: look, write, set, try. API, pages and the command line all come through here."""
