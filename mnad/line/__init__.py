"""On the line: verdicts on new photographs and films, their report, the watched folder, its journal."""
