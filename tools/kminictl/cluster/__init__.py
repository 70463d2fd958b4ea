"""What stands between a command and the API: who asks, which resources there are, what was selected, what files say."""
