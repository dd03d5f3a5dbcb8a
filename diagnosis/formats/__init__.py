"""How dates look in each language. Where Django names none, templates use names of ours."""
