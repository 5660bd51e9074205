"""BDD100K: frames in JSON lists, bitmasks, lane and drivable masks."""
