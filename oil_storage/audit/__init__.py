"""Audit labelled scenes: their records, their pixels, their ground. Only this room makes scenes from files."""
