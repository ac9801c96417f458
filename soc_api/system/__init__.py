"""How the pipeline itself stands, for the console, the API and `vonggac doctor`."""
