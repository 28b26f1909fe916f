"""Parts of files, to be changed: what bad files for tests are made with."""
