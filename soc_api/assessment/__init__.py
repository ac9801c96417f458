"""Configuration assessment on the server: the written checks with their words, and who passes them."""
