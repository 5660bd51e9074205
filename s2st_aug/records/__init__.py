"""What crosses the borders between layers: frozen dataclasses with few fields, and the manifest's schema."""
