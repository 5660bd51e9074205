"""The one door to FiftyOne: a run folder becomes a grouped dataset, people's decisions come back. Labels never travel back."""
