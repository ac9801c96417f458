"""Part ``services``: what people depend on, asked gently: pages, mail, names, ports; and whether a page was defaced."""
