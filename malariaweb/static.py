from whitenoise.storage import CompressedManifestStaticFilesStorage

IMPORTS = (r'(?P<matched>from "(?P<url>\./[^"]+\.js)")', 'from "%(url)s"')


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Hashed names for the files that `prepare` has collected.

    Any other keeps its plain name and is found in its app's folder: before `prepare`, and after an
    update without it, pages work all the same.
    """

    # A module imports others by their hashed names, or a new one could meet an old one. Django's
    # own switch for this looks into every script, and fails on one of another app.
    patterns = (*CompressedManifestStaticFilesStorage.patterns, ("diagnosis/*.js", (IMPORTS,)))

    def stored_name(self, name: str) -> str:
        known = self.hash_key(self.clean_name(name)) in self.hashed_files
        return super().stored_name(name) if known else name
