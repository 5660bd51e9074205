"""YOLO: one text file per image, data.yaml."""
