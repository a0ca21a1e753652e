"""Current values: packed, versioned rows in Redis, LMDB or memory, behind one interface."""
