"""What `manage.py check` and every start say about this installation."""
