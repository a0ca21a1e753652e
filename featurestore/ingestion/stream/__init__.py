"""The durable stream of a source's events, between those who send them and the program that commits them."""
