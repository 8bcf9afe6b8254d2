"""Pretrained encoders of sound: nets that a user brings as a file, with one interface."""
