"""`ftwiz report`: what came of a run as one HTML page. facts.py reads, charts.py draws, page.py writes; no torch."""
