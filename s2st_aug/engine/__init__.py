"""The one door to Ray: a run is planned, streamed through an actor pool, judged, written and committed batch by batch.

Stages are plain callables, tested without Ray; `engine` alone strings them together.
"""
