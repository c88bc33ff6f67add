"""The coordinator: asks a fleet round by round, keeps what it must not forget, and builds the release."""
