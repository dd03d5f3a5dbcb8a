from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Hashed names for the files that `prepare` has collected.

    Any other keeps its plain name and is found in its app's folder: before `prepare`, and after an
    update without it, pages work all the same.
    """

    def stored_name(self, name: str) -> str:
        known = self.hash_key(self.clean_name(name)) in self.hashed_files
        return super().stored_name(name) if known else name
