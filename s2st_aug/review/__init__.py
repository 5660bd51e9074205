"""The one door to FiftyOne: a run folder becomes a grouped dataset, decisions come back, and labels never do."""
