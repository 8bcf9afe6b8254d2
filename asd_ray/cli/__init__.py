"""The command line: one verb per file. Arguments in, progress and tables out."""
