"""Metrics, tables and contact sheets of dances and beats: ``dancerev-evaluate``."""
