"""What the pages do, for programs: the same access, the same refusals in words, as JSON."""
