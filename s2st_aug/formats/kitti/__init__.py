"""KITTI: one text file per image, fifteen columns."""
