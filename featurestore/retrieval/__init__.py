"""Features for training, and features for serving."""
