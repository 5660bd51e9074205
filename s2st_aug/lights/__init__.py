"""What will shine at night, told from the day image, and how it is laid over a variant."""
