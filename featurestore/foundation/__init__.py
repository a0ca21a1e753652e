"""The ground floor: time, canonical bytes, durable files, and the root of all errors."""
