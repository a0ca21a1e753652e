"""The heart: what a value means. Pure functions over NumPy arrays that every engine ends in."""
