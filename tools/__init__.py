"""Scripts for those who develop this project."""
