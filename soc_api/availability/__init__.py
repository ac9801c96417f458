"""Services and links as people look at them: now, over a day, over months; and what people change about them."""
