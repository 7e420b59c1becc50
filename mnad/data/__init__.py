"""Images and videos: how they lie on disk, how they are read, drawn and fetched."""
