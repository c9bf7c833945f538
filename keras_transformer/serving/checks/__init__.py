"""What `doctor` looks at, a file a subject: each check yields findings."""
