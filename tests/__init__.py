"""Tests of the library; a package so that helpers are imported by one name from everywhere."""
