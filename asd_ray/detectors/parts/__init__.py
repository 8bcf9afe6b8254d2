"""What several families share: training loops, the classifier, backends, heads, augmentation, windows."""
