"""Tests of the desk's laws."""
