"""Builder of the `wuhan` pack: real codes, borders, metro and air stations; the rest is made by seed and says so."""
