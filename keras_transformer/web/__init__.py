"""The local server and its page: `kt.serving.serve`."""
