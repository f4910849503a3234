"""The payloads of Masivo's three migrate endpoints, one to one with the API's contract."""
