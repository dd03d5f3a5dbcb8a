from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Hashed names once `prepare` has collected the files; plain ones, found in place, before."""

    def stored_name(self, name: str) -> str:
        return super().stored_name(name) if self.hashed_files else name
