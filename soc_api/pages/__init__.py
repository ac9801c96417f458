"""The console's pages: a module a page, each with one context dataclass, from which HTML and JSON both come."""
