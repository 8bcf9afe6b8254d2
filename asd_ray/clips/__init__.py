"""What was recorded: layouts, the clip table, the bank of decoded audio, the synthetic demo set."""
