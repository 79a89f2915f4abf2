"""Who is let in: how it is proven, how often he may ask, and what is written down of it."""
