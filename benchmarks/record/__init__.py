"""The record: everything measured in one go on one machine, and what is said of it.

`steps` says what is measured, `runner` does it into one file of JSON (`store`), `figures` finds a figure
in it, `goals` holds them against what the project wants to reach, `tables`, `summary` and `pages` write them
into the READMEs."""
