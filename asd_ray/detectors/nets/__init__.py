"""Parts of nets that several families share."""
