"""COCO: instances, keypoints, panoptic."""
